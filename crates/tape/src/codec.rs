//! `Codec`: blocks without a tape around them, for what looks at blocks alone: benchmarks,
//! tools.

use std::io;

use changetape_core::Seq;

use crate::block::{BlockEncoder, Decoder, High, NewBlock};
use crate::{Batch, Block};

/// Makes blocks of batches and reads them back; keeps what zstd allocates.
pub struct Codec {
    encoder: BlockEncoder,
    decoder: Decoder,
}

impl Codec {
    /// A codec.
    ///
    /// # Errors
    /// If there is no memory for zstd.
    pub fn new() -> io::Result<Self> {
        Ok(Self { encoder: BlockEncoder::new()?, decoder: Decoder::new()? })
    }

    /// One block of a whole batch, which is not cut as a tape would cut it. `first` is the
    /// place of its first event. For the bytes see `docs/tape-format.md`.
    ///
    /// # Errors
    /// If the batch is longer than a block can be.
    pub fn encode(&mut self, first: Seq, batch: &Batch<'_>) -> io::Result<Vec<u8>> {
        let Batch { events, token, arrival } = *batch;
        let new = NewBlock { first, events, arrival, token, high: High::default() };
        Ok(self.encoder.encode(&new)?.0)
    }

    /// Reads a block and checks all of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if the bytes are not one whole and unchanged block.
    pub fn decode(&mut self, bytes: &[u8]) -> io::Result<Block> {
        let block = self.decoder.decode(bytes);
        block.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
