//! Publishes a finished output, whole or not at all.
