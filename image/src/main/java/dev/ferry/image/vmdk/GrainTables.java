package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.Fields.SECTOR_BYTES;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.GrowingMap;
import dev.ferry.image.sparse.TableCache;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The directories and tables of a sparse extent that takes changes. New grains lie at the end of the file, which grows by
 * many at a time and is cut off behind the last when it is closed. An entry is written to the second table first, so that
 * what the first one says is never more than what the second does.
 *
 * <p>What the tables say is not believed where it would let a guest write to them.
 */
final class GrainTables implements GrowingMap {
    private static final long GROWTH_BYTES = 32 << 20;
    private static final long SECTORS_MAX = 0xffff_ffffL;

    private final String name;
    private final BlockDevice file;
    private final GrainTablesAt where;
    private final DirectoryMap map;
    private final TableCache tables;
    private final int grainBytes;
    private final boolean zeroGrains;
    private final ArrayDeque<Entry> free = new ArrayDeque<>();
    private long next;
    private long readyTo;
    private boolean grown;

    /** @param file one that takes any offset and length, and grows */
    GrainTables(String name, BlockDevice file, GrainTablesAt where, int grainBytes, boolean zeroGrains) {
        this.name = name;
        this.file = file;
        this.where = where;
        this.grainBytes = grainBytes;
        this.zeroGrains = zeroGrains;
        this.tables = new TableCache(name, file, where.tableEntries() * Integer.BYTES);
        this.map = new DirectoryMap(where.directory(), where.tableEntries(), tables, (table, index) -> {
            long sector = Fields.u32(table, index * Integer.BYTES);
            if (sector <= 1) {
                return sector == 0 ? NOTHING : zeroGrains ? ZEROES : DAMAGED;
            }
            return where.holdsData(sector * SECTOR_BYTES, grainBytes) ? sector * SECTOR_BYTES : DAMAGED;
        });
        this.next = (file.lengthBytes() + grainBytes - 1) / grainBytes * grainBytes;
        this.readyTo = next;
    }

    @Override
    public boolean knows(long grain) {
        return map.knows(grain);
    }

    @Override
    public void learn(long grain, Completion whenKnown) {
        map.learn(grain, whenKnown);
    }

    @Override
    public long positionOf(long grain) {
        return map.positionOf(grain);
    }

    private long tableOf(long grain) {
        return where.tableOf(grain);
    }

    @Override
    public int room(long grain) {
        long inTable = where.tableEntries() - grain % where.tableEntries();
        return (int) Math.min(inTable, (readyTo - next) / grainBytes);
    }

    @Override
    public long take(long grain, int count) {
        long position = next;
        next += (long) count * grainBytes;
        tables.hold(tableOf(grain));
        return position;
    }

    @Override
    public void enter(long grain, int count, long position, Completion whenWritten) {
        Entry entry = free.poll();
        (entry == null ? new Entry() : entry).write(grain, count, position, whenWritten);
    }

    @Override
    public void giveUp(long grain, int count) {
        tables.release(tableOf(grain));
    }

    @Override
    public int zeroable(long grain, long count) {
        return zeroGrains ? (int) Math.min(count, where.tableEntries() - grain % where.tableEntries()) : 0;
    }

    @Override
    public void enterZeroes(long grain, int count, Completion whenWritten) {
        tables.hold(tableOf(grain));
        enter(grain, count, ZEROES, whenWritten);
    }

    /** Entries that stand side by side in a table, on their way to the file. */
    private final class Entry implements Completion {
        private final byte[] bytes = new byte[where.tableEntries() * Integer.BYTES];
        private final IoBuffer buffer = IoBuffer.allocate(bytes.length);
        private @Nullable Completion whenWritten;
        private long grain;
        private int length;
        private boolean second;

        void write(long first, int count, long position, Completion completion) {
            grain = first;
            length = count * Integer.BYTES;
            whenWritten = completion;
            ByteBuffer fields = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < count; i++) {
                fields.putInt(position == ZEROES ? 1 : (int) ((position + (long) i * grainBytes) / SECTOR_BYTES));
            }
            buffer.copyFrom(bytes, 0, 0, length);
            long other = where.secondTableOf(first);
            second = other != 0;
            submit(second ? other : tableOf(first));
        }

        private int within() {
            return (int) (grain % where.tableEntries()) * Integer.BYTES;
        }

        private void submit(long table) {
            file.write(table + within(), buffer, 0, length, 0, this);
        }

        @Override
        public void complete(@Nullable BlockError error) {
            if (error == null && second) {
                second = false;
                submit(tableOf(grain));
                return;
            }
            byte[] table = tables.at(tableOf(grain));
            if (error == null && table != null) {
                System.arraycopy(bytes, 0, table, within(), length);
            }
            tables.release(tableOf(grain));
            Completion ended = Objects.requireNonNull(whenWritten);
            whenWritten = null;
            free.add(this);
            ended.complete(error);
        }
    }

    @Override
    public void grow(long grain, Completion whenReady) {
        long to = next + GROWTH_BYTES / grainBytes * grainBytes;
        if (to / SECTOR_BYTES > SECTORS_MAX) {
            whenReady.complete(
                    BlockError.of(ErrorKind.NO_SPACE, name, "write", "a sparse extent ends at 2 TiB, and so does it"));
            return;
        }
        grown = true;
        Completion durable = GrowingMap.then(whenReady, () -> {
            readyTo = to;
            whenReady.complete(null);
        });
        file.resize(to, GrowingMap.then(whenReady, () -> file.flush(durable)));
    }

    @Override
    public void settle(Completion whenSettled) {
        if (grown) {
            file.resize(next, whenSettled);
        } else {
            whenSettled.complete(null);
        }
    }
}
