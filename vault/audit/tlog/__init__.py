"""C2SP's formats for transparency logs: notes, checkpoints, tiles, proofs, witnesses. No I/O."""
