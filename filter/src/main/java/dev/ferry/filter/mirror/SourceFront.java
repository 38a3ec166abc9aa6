package dev.ferry.filter.mirror;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;

/**
 * What a mirror leaves to its source: its shape, and everything that changes nothing (rule 1). Closing it closes the source
 * alone: a mirror is taken out of a stack before the stack is closed.
 */
abstract class SourceFront extends FilterDevice {
    final BlockDevice source;
    final Geometry geometry;

    SourceFront(BlockDevice source) {
        super(source);
        this.source = source;
        this.geometry = source.geometry();
    }

    public BlockDevice source() {
        return source;
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        source.read(offset, buffer, at, length, completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return source.locate(offset, length, range);
    }
}
