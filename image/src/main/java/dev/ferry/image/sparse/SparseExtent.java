package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.Overlay;
import org.jspecify.annotations.Nullable;

/** A part of a disk whose grains lie anywhere in a file, or in what is below, or nowhere. The disk's loop. */
public final class SparseExtent extends ReadOnlyDevice implements Overlay {
    private static final int EXTENTS_MAX = 2048;

    /** Grains that are looked at for one question, so that the loop has its turn. */
    private static final int GRAINS_MAX = 1 << 20;

    private final BlockDevice file;
    private final GrainMap map;
    private final int grainBytes;
    private final @Nullable Below below;

    /** @param below what it is a delta of; closing this does not close it */
    public SparseExtent(
            String name, BlockDevice file, long sizeBytes, int grainBytes, GrainMap map, @Nullable Below below) {
        super(name, sizeBytes);
        this.file = file;
        this.map = map;
        this.grainBytes = grainBytes;
        this.below = below;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        new Read(offset, buffer, at, length, completion).advance();
    }

    /** A read, which waits where the map has to be read first. */
    private final class Read implements Completion {
        private final Pieces pieces;
        private final IoBuffer buffer;
        private final long end;
        private long position;
        private int at;
        private boolean learning;
        private boolean advancing;

        Read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
            this.pieces = new Pieces(completion);
            this.buffer = buffer;
            this.position = offset;
            this.end = offset + length;
            this.at = at;
        }

        void advance() {
            advancing = true;
            while (position < end && !learning) {
                if (map.knows(position / grainBytes)) {
                    submit();
                } else {
                    learning = true;
                    map.learn(position / grainBytes, this);
                }
            }
            advancing = false;
            if (!learning) {
                pieces.allSubmitted();
            }
        }

        /** The map is known here, or cannot be. */
        @Override
        public void complete(@Nullable BlockError error) {
            learning = false;
            if (error != null) {
                pieces.more().complete(error);
                position = end;
            }
            if (!advancing) {
                advance();
            }
        }

        /** One run of grains that lie side by side, or are nowhere alike. */
        private void submit() {
            long grain = position / grainBytes;
            long begin = grain * grainBytes;
            long host = map.positionOf(grain);
            long runEnd = Math.min(end, begin + grainBytes);
            while (runEnd < end && map.knows(++grain) && follows(host, grain, runEnd - begin)) {
                runEnd = Math.min(end, (grain + 1) * grainBytes);
            }
            int run = (int) (runEnd - position);
            if (host == GrainMap.NOTHING && below != null) {
                below.read(position, buffer, at, run, pieces.more());
            } else if (host == GrainMap.NOTHING || host == GrainMap.ZEROES) {
                buffer.zero(at, run);
            } else {
                data(host, position - begin, buffer, at, run, pieces.more());
            }
            position = runEnd;
            at += run;
        }
    }

    /** @param distance from the beginning of the first grain of the run to that of this one */
    private boolean follows(long first, long grain, long distance) {
        long host = map.positionOf(grain);
        return first < 0 ? host == first : host == first + distance;
    }

    private void data(long host, long within, IoBuffer buffer, int at, int length, Completion completion) {
        if (host == GrainMap.UNREADABLE) {
            completion.complete(BlockError.of(
                    ErrorKind.UNSUPPORTED, name, "read", -1, length, "it is compressed in a way that is not read"));
        } else if (host < 0) {
            completion.complete(damaged(host, length, "an entry of its tables is damaged"));
        } else if (host > file.lengthBytes() - within - length) {
            completion.complete(damaged(host, length, "its data lies past the end of the file"));
        } else {
            file.read(host + within, buffer, at, length, completion);
        }
    }

    private BlockError damaged(long position, int length, String why) {
        return BlockError.of(ErrorKind.CORRUPT, name, "read", position, length, why);
    }

    @Override
    public long belowBytes() {
        return below == null ? 0 : below.bytes(geometry().sizeBytes());
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        extents(offset, length, false, sink, completion);
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        extents(offset, length, true, sink, completion);
    }

    private void extents(long offset, long length, boolean own, ExtentSink sink, Completion completion) {
        long grain = offset / grainBytes;
        if (map.knows(grain)) {
            describe(offset, length, own, sink, completion);
        } else {
            map.learn(grain, error -> {
                if (error == null) {
                    describe(offset, length, own, sink, completion);
                } else {
                    completion.complete(error);
                }
            });
        }
    }

    /** @param own what shows through from below is a hole */
    private void describe(long offset, long length, boolean own, ExtentSink sink, Completion completion) {
        long end = offset + length;
        int looked = 0;
        long position = offset;
        for (int found = 0; found < EXTENTS_MAX && canTell(position, end, looked); found++) {
            long kind = kind(position);
            long to = position;
            do {
                to = Math.min(end, (to / grainBytes + 1) * grainBytes);
                looked++;
            } while (canTell(to, end, looked) && kind(to) == kind);
            if (kind == GrainMap.NOTHING && below != null && !own) {
                if (position == offset) {
                    below.extents(offset, to - offset, sink, completion);
                    return;
                }
                break;
            }
            sink.extent(position, to - position, stateOf(kind));
            position = to;
        }
        completion.complete(null);
    }

    private int stateOf(long kind) {
        int hole = kind == GrainMap.NOTHING && below != null ? ExtentSink.HOLE : ExtentSink.HOLE | ExtentSink.ZERO;
        return kind == 0 ? 0 : hole;
    }

    private boolean canTell(long position, long end, int looked) {
        return position < end && looked < GRAINS_MAX && map.knows(position / grainBytes);
    }

    /** 0 for data; what is damaged is taken for data, and reading it says so. */
    private long kind(long position) {
        long host = map.positionOf(position / grainBytes);
        return host == GrainMap.NOTHING || host == GrainMap.ZEROES ? host : 0;
    }

    @Override
    public void close(Completion completion) {
        file.close(completion);
    }
}
