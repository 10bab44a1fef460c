//! Real plugins in the real host: what they read, call and store, and how each way of misbehaving ends.

mod calling;
mod keepalive;
mod limits;
mod loading;
mod reading;
mod stage;
mod storing;
