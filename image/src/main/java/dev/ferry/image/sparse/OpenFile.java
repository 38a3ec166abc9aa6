package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.image.FileBytes;

/** A file that is open, as bytes to look at and as a device to read from; closing the device closes it. */
public record OpenFile(FileBytes bytes, BlockDevice device) {}
