package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.Executor;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.jspecify.annotations.Nullable;

/**
 * A part of a disk whose grains are compressed, each behind a marker: its first sector as 64 bits, the length of its data
 * as 32, then the data (RFC 1950). Grains are inflated on other threads, one after the other; the last one is kept. What is
 * not there may lie in what is below. Thread: the disk's loop.
 */
public final class PackedExtent extends ReadOnlyDevice {
    private static final int MARKER_BYTES = 12;
    private static final int SECTOR_BYTES = 512;

    private final Loop loop;
    private final Executor workers;
    private final BlockDevice file;
    private final GrainMap map;
    private final @Nullable Below below;
    private final int grainBytes;
    private final SparseExtent layout;
    private final IoBuffer packed;
    private final IoBuffer grain;
    private final Queue<Read> waiting = new ArrayDeque<>();
    private long kept = -1;
    private boolean busy;

    /** @param below what it is a delta of; closing this does not close it */
    public PackedExtent(
            Loop loop,
            Executor workers,
            String name,
            BlockDevice file,
            long sizeBytes,
            int grainBytes,
            GrainMap map,
            @Nullable Below below) {
        super(name, sizeBytes);
        this.loop = loop;
        this.workers = workers;
        this.file = file;
        this.map = map;
        this.below = below;
        this.grainBytes = grainBytes;
        this.layout = new SparseExtent(name, file, sizeBytes, grainBytes, map, below);
        // Data that does not shrink grows a little.
        this.packed = IoBuffer.allocate(2 * grainBytes + SECTOR_BYTES);
        this.grain = IoBuffer.allocate(grainBytes);
    }

    private final class Read implements Completion {
        private final IoBuffer buffer;
        private final Completion completion;
        private final long end;
        private long position;
        private int at;
        private int there;

        Read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
            this.position = offset;
            this.end = offset + length;
            this.buffer = buffer;
            this.at = at;
            this.completion = completion;
        }

        /** Goes on as far as what is kept goes. */
        void advance() {
            while (position < end) {
                long index = position / grainBytes;
                if (!map.knows(index)) {
                    map.learn(index, error -> later(error, 0));
                    return;
                }
                long host = map.positionOf(index);
                int run = (int) (Math.min(end, (index + 1) * grainBytes) - position);
                if (host == GrainMap.NOTHING && below != null) {
                    below.read(position, buffer, at, run, error -> later(error, run));
                    return;
                }
                if (host == GrainMap.NOTHING || host == GrainMap.ZEROES) {
                    buffer.zero(at, run);
                } else if (kept == index) {
                    buffer.copyFrom(grain, (int) (position % grainBytes), at, run);
                } else {
                    load(host);
                    return;
                }
                position += run;
                at += run;
            }
            ended(this, null);
        }

        /** Goes on with the loop's next turn, since what ended may have done so at once. */
        private void later(@Nullable BlockError error, int done) {
            position += done;
            at += done;
            loop.execute(() -> {
                if (error != null) {
                    ended(this, error);
                } else {
                    advance();
                }
            });
        }

        private void load(long host) {
            there = Math.clamp(file.lengthBytes() - host, 0, packed.capacity());
            if (host < 0 || there < MARKER_BYTES) {
                ended(this, damaged("it lies past the end of the file"));
                return;
            }
            kept = -1;
            file.read(host, packed, 0, there, this);
        }

        @Override
        public void complete(@Nullable BlockError error) {
            if (error != null) {
                ended(this, error);
                return;
            }
            long index = position / grainBytes;
            workers.execute(() -> {
                String flaw = unpack(index);
                loop.execute(() -> {
                    if (flaw != null) {
                        ended(this, damaged(flaw));
                    } else {
                        kept = index;
                        advance();
                    }
                });
            });
        }

        private @Nullable String unpack(long index) {
            ByteBuffer source =
                    packed.segment().asSlice(0, there).asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
            if (source.getLong(0) != index * (grainBytes / SECTOR_BYTES)) {
                return "its marker is that of another";
            }
            int length = source.getInt(Long.BYTES);
            if (length <= 0 || length > there - MARKER_BYTES) {
                return "its length of " + length + " cannot be";
            }
            ByteBuffer target = grain.segment().asByteBuffer();
            // The last grain may be shorter than the others.
            int least = (int) Math.min(grainBytes, geometry().sizeBytes() - index * grainBytes);
            try (Inflater inflater = new Inflater()) {
                inflater.setInput(source.slice(MARKER_BYTES, length));
                int count;
                do {
                    count = inflater.inflate(target);
                } while (count > 0 && target.hasRemaining());
            } catch (DataFormatException damaged) {
                return "its data does not unpack";
            }
            return target.position() < least ? "its data unpacks to less than a grain" : null;
        }

        private BlockError damaged(String why) {
            return BlockError.of(ErrorKind.CORRUPT, name, "read", position, -1, "compressed grain: " + why);
        }
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        waiting.add(new Read(offset, buffer, at, length, completion));
        next();
    }

    private void next() {
        if (!busy && !waiting.isEmpty()) {
            busy = true;
            waiting.remove().advance();
        }
    }

    private void ended(Read read, @Nullable BlockError error) {
        busy = false;
        read.completion.complete(error);
        next();
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        layout.extents(offset, length, sink, completion);
    }

    @Override
    public void close(Completion completion) {
        file.close(completion);
    }
}
