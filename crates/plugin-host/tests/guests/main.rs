//! Real plugins in the real host: what they read, call and store, and how each way of misbehaving ends.

#[cfg(test)]
mod calling;
#[cfg(test)]
mod keepalive;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod storing;
