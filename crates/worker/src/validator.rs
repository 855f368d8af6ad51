//! Proves an output whole before it is published.
