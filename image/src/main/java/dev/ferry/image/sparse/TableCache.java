package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Queue;
import org.jspecify.annotations.Nullable;

/**
 * Tables of one length in a file, read when they are asked for, one after the other; those that were used last are kept.
 * So what a disk takes in memory has a bound, whatever its size. The disk's loop.
 */
public final class TableCache {
    private static final int KEPT_BYTES_MAX = 32 << 20;
    private static final int KEPT_MAX = 4096;

    private final String name;
    private final BlockDevice file;
    private final int tableBytes;
    private final IoBuffer buffer;
    private final Queue<Load> waiting = new ArrayDeque<>();
    private final Map<Long, byte[]> kept = new LinkedHashMap<>(16, 0.75f, true);
    private final Map<Long, Integer> held = new HashMap<>();
    private final int keptMax;
    private byte[] last = {};
    private long lastPosition = -1;
    private boolean busy;
    private boolean pumping;

    public TableCache(String name, BlockDevice file, int tableBytes) {
        this.name = name;
        this.file = file;
        this.tableBytes = tableBytes;
        this.buffer = IoBuffer.allocate(tableBytes);
        this.keptMax = Math.clamp(KEPT_BYTES_MAX / tableBytes, 1, KEPT_MAX);
    }

    /** The table at a place of the file, if it is in memory. */
    public byte @Nullable [] at(long position) {
        if (position == lastPosition) {
            return last;
        }
        byte[] table = kept.get(position);
        if (table != null) {
            lastPosition = position;
            last = table;
        }
        return table;
    }

    /** A table that is in memory stays there until it has been {@link #release released} as often as it was held. */
    public void hold(long position) {
        held.merge(position, 1, Integer::sum);
    }

    public void release(long position) {
        held.computeIfPresent(position, (at, times) -> times == 1 ? null : times - 1);
    }

    private void forgetEldest() {
        for (Long position : kept.keySet()) {
            if (!held.containsKey(position)) {
                kept.remove(position);
                return;
            }
        }
    }

    /** Reads the table at a place of the file; one that is not in the file is damage. */
    public void load(long position, Completion whenThere) {
        waiting.add(new Load(position, whenThere));
        pump();
    }

    /** A load that ends at once must not start the next one from within its end. */
    private void pump() {
        if (pumping) {
            return;
        }
        pumping = true;
        while (!busy && !waiting.isEmpty()) {
            busy = true;
            waiting.remove().start();
        }
        pumping = false;
    }

    private final class Load implements Completion {
        private final long position;
        private final Completion whenThere;

        Load(long position, Completion whenThere) {
            this.position = position;
            this.whenThere = whenThere;
        }

        void start() {
            if (at(position) != null) {
                ended(null);
            } else if (position < 0 || position > file.lengthBytes() - tableBytes) {
                ended(BlockError.of(
                        ErrorKind.CORRUPT, name, "read", position, tableBytes, "a table is past the end of the file"));
            } else {
                file.read(position, buffer, 0, tableBytes, this);
            }
        }

        @Override
        public void complete(@Nullable BlockError error) {
            if (error == null) {
                byte[] table = new byte[tableBytes];
                buffer.copyTo(0, table, 0, tableBytes);
                if (kept.size() >= keptMax) {
                    forgetEldest();
                }
                kept.put(position, table);
                lastPosition = position;
                last = table;
            }
            ended(error);
        }

        private void ended(@Nullable BlockError error) {
            busy = false;
            whenThere.complete(error);
            pump();
        }
    }
}
