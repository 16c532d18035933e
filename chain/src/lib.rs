//! What all Catena tools share.
