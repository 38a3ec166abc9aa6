package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimLoop;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** Changes a few sectors far apart, each with a number in it that says which write it comes from, and knows what may be in them. */
final class CrashGuest {
    private static final int SECTOR = 512;
    private static final int SECTORS_USED = 40;
    private final SimLoop loop;
    private final SplittableRandom random;
    private final byte[] before;
    private final int[] sectors = new int[SECTORS_USED];
    private final List<Set<Long>> possible = new ArrayList<>();
    private final long[] acknowledged = new long[SECTORS_USED];
    private final boolean[] inFlight = new boolean[SECTORS_USED];
    private long tag;
    private int left;

    /** @param before what is on the disk: in each sector one number, over and over */
    CrashGuest(SimLoop loop, long seed, byte[] before) {
        this.loop = loop;
        this.random = new SplittableRandom(seed);
        this.before = before;
        for (int i = 0; i < SECTORS_USED; i++) {
            // Some share a grain with their neighbour.
            sectors[i] = i % 3 == 0 && i > 0 ? sectors[i - 1] + 1 : random.nextInt(before.length / SECTOR - 1) & ~1;
            acknowledged[i] = ByteBuffer.wrap(before).getLong(sectors[i] * SECTOR);
            possible.add(new HashSet<>(Set.of(acknowledged[i])));
        }
    }

    private boolean twice(int index) {
        for (int i = 0; i < index; i++) {
            if (sectors[i] == sectors[index]) {
                return true;
            }
        }
        return false;
    }

    /** Submits a few changes. */
    void batch(BlockDevice device) {
        for (int n = 0; n < 5; n++) {
            int i = random.nextInt(SECTORS_USED);
            if (!inFlight[i] && !twice(i)) {
                change(device, i);
            }
        }
    }

    private void change(BlockDevice device, int i) {
        long value = random.nextInt(4) == 0 ? 0 : ++tag;
        possible.get(i).add(value);
        inFlight[i] = true;
        left++;
        Completion ended = error -> {
            assertThat(error).isNull();
            acknowledged[i] = value;
            inFlight[i] = false;
            left--;
        };
        long offset = (long) sectors[i] * SECTOR;
        if (value == 0 && random.nextBoolean()) {
            if (random.nextBoolean()) {
                device.discard(offset, SECTOR, 0, ended);
            } else {
                device.writeZeroes(offset, SECTOR, 0, ended);
            }
            return;
        }
        byte[] bytes = new byte[SECTOR];
        ByteBuffer fields = ByteBuffer.wrap(bytes);
        while (fields.hasRemaining()) {
            fields.putLong(value);
        }
        IoBuffer buffer = IoBuffer.allocate(SECTOR);
        buffer.copyFrom(bytes, 0, 0, SECTOR);
        device.write(offset, buffer, 0, SECTOR, 0, ended);
    }

    void await() {
        assertThat(loop.runUntil(() -> left == 0, Long.MAX_VALUE)).isTrue();
    }

    void flush(BlockDevice device) {
        await();
        assertThat(OnLoop.await(loop, device::flush)).isNull();
        for (int i = 0; i < SECTORS_USED; i++) {
            possible.set(i, new HashSet<>(Set.of(acknowledged[i])));
        }
    }

    /** Holds a disk that a crash left to what may be on it: in the sectors that are changed, and in all others. */
    void verify(byte[] content, boolean processOnly) {
        byte[] others = content.clone();
        for (int i = 0; i < SECTORS_USED; i++) {
            int at = sectors[i] * SECTOR;
            System.arraycopy(before, at, others, at, SECTOR);
            if (twice(i)) {
                continue;
            }
            ByteBuffer fields = ByteBuffer.wrap(content, at, SECTOR);
            long found = fields.getLong();
            while (fields.hasRemaining()) {
                assertThat(fields.getLong()).as("a part of sector " + i).isEqualTo(found);
            }
            assertThat(possible.get(i)).as("sector " + i).contains(found);
            if (processOnly && !inFlight[i]) {
                assertThat(found).as("acknowledged, sector " + i).isEqualTo(acknowledged[i]);
            }
        }
        assertThat(Arrays.mismatch(others, before))
                .as("what nobody has changed differs at")
                .isEqualTo(-1);
    }
}
