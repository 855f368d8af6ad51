//! The control plane in one process with workers that do what a test tells them, over real sockets.

mod callbacks;
mod cancel;
mod http;
mod jobs;
mod keys;
mod lapsed;
mod lost;
mod metrics;
mod plane;
mod races;
mod read;
mod restart;
mod selection;
mod shutdown;
mod split;
mod store;
mod stream;
mod stub;
mod unanswered;
mod workers;
