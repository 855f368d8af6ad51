//! Every kind of source that people have becomes what the preset promises, and what cannot be used says why.
//!
//! - [`recipe`] – how ffmpeg makes a source
//! - [`facts`] – what ffprobe tells of sources and outputs
//! - [`promise`] – a source is encoded, and the outputs are compared with it
//! - the rest – the sources

mod broken;
mod containers;
mod facts;
mod ladder;
mod pictures;
mod playlists;
mod promise;
mod recipe;
mod servers;
mod sound;
mod timing;
