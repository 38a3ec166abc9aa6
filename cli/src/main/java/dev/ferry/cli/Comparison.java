package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.stack.OnLoop;
import java.lang.foreign.MemorySegment;

/** Whether two disks that nobody changes are equal. What is known to be zeroes on both is not read. */
final class Comparison {
    private static final int PIECE_BYTES = 1 << 20;

    private Comparison() {}

    /** A disk that is read from its beginning to its end. */
    private static final class Side {
        private final Loop loop;
        private final BlockDevice device;
        private final long sizeBytes;
        private final IoBuffer buffer = IoBuffer.allocate(PIECE_BYTES);
        private long zeroTo;

        Side(Loop loop, BlockDevice device) {
            this.loop = loop;
            this.device = device;
            this.sizeBytes = device.geometry().sizeBytes();
        }

        /** How far it is known to be zeroes from there on. */
        long zeroesFrom(long offset) throws BlockException {
            if (offset >= sizeBytes) {
                return Long.MAX_VALUE;
            }
            if (zeroTo <= offset) {
                long[] end = {offset};
                boolean[] broken = new boolean[1];
                OnLoop.await(
                        loop,
                        done -> device.extents(
                                offset,
                                sizeBytes - offset,
                                (from, length, state) -> {
                                    broken[0] |= (state & ExtentSink.ZERO) == 0;
                                    end[0] = broken[0] ? end[0] : from + length;
                                },
                                done));
                zeroTo = end[0];
            }
            return zeroTo;
        }

        /** The bytes there; zeroes where the disk has ended. */
        MemorySegment bytes(long offset, int length) throws BlockException {
            int there = Math.clamp(sizeBytes - offset, 0, length);
            if (there > 0) {
                OnLoop.await(loop, done -> device.read(offset, buffer, 0, there, done));
            }
            buffer.zero(there, length - there);
            return buffer.segment().asSlice(0, length);
        }
    }

    /** The first byte that is not the same, zeroes counting as what a shorter disk has beyond its end; -1: none. */
    static long firstDifference(Loop loop, BlockDevice first, BlockDevice second) throws BlockException {
        Side a = new Side(loop, first);
        Side b = new Side(loop, second);
        long end = Math.max(a.sizeBytes, b.sizeBytes);
        for (long at = 0; at < end; ) {
            long zeroes = Math.min(end, Math.min(a.zeroesFrom(at), b.zeroesFrom(at)));
            if (zeroes > at) {
                at = zeroes;
                continue;
            }
            int length = (int) Math.min(PIECE_BYTES, end - at);
            long found = a.bytes(at, length).mismatch(b.bytes(at, length));
            if (found >= 0) {
                return at + found;
            }
            at += length;
        }
        return -1;
    }
}
