//! The journal seen from outside, on a real disk.

mod road;
mod setting;
