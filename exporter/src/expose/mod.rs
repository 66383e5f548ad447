//! What kanary shows: four renderings of one snapshot, over HTTP and by OTLP push.
//!
//! Renderers are pure functions of a [`page::Page`]. Nothing here reads /proc, knows a collector or waits for one
//! longer than the deadline of whoever asked: fresh values come from a [`Source`].

#[cfg(test)]
mod agreement;
pub mod buckets;
mod buffers;
pub mod gzip;
pub mod http;
pub mod number;
pub mod otlp;
pub mod page;
pub mod protobuf;
mod source;
mod start;
#[cfg(test)]
mod testing;
pub mod text;

pub use source::{Late, Source, Want};
pub use start::{Listeners, Parts, bind, push_verdict, settings, start};
