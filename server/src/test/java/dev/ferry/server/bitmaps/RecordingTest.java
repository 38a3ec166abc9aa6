package dev.ferry.server.bitmaps;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.Provisioning;
import dev.ferry.reactor.EventLoops;
import dev.ferry.server.DataPlane;
import dev.ferry.server.api.BitmapAdd;
import dev.ferry.server.api.BitmapView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import dev.ferry.testkit.SmallDisk;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Bitmaps of a disk whose clients come and go, in one process. */
@Timeout(60)
final class RecordingTest {
    private static final int BLOCK = 64 << 10;
    private static final long SIZE_BYTES = 4 << 20;

    @TempDir
    private Path folder = Path.of("");

    private final DataPlane plane = start();

    private static DataPlane start() {
        try {
            return DataPlane.start(1, EventLoops.Kind.AUTO);
        } catch (BlockException failed) {
            throw new AssertionError(failed);
        }
    }

    @AfterEach
    void end() {
        plane.close();
    }

    private OpenDisk open(long sizeBytes) throws IOException {
        Path file = folder.resolve("vm.raw");
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(sizeBytes);
        }
        Stacks stacks = new Stacks(plane.loops(), DataPlane.FILES);
        return stacks.acquire(new DiskSpec("vm", file, Provisioning.THIN, false, false));
    }

    private static void write(OpenDisk disk, long offset) throws BlockException {
        IoBuffer buffer = IoBuffer.allocate(512);
        OnLoop.await(disk.loop().loop(), done -> disk.front().write(offset, buffer, 0, 512, 0, done));
    }

    private Bitmaps bitmaps() {
        return new Bitmaps(folder.resolve("bitmaps"));
    }

    private static BitmapView only(Bitmaps bitmaps) throws ProblemException, BlockException {
        assertThat(bitmaps.list("vm")).hasSize(1);
        return bitmaps.list("vm").getFirst();
    }

    @Test
    void whatIsKeptIsWhatWasMarked() throws Exception {
        OpenDisk disk = open(SIZE_BYTES);
        Bitmaps before = bitmaps();
        before.begin(disk);
        before.add("vm", SIZE_BYTES, new BitmapAdd("nightly", BLOCK));
        write(disk, BLOCK);
        assertThat(only(before)).isEqualTo(new BitmapView("nightly", BLOCK, BLOCK, "recording"));
        assertThat(before.contexts("vm"))
                .singleElement()
                .satisfies(one -> assertThat(one.name()).isEqualTo("qemu:dirty-bitmap:nightly"));
        assertThat(only(bitmaps()).state()).as("a daemon after a crash").isEqualTo("inconsistent");
        before.end("vm");
        assertThat(disk.tracker().names()).isEmpty();
        assertThat(before.contexts("vm")).isEmpty();

        Bitmaps after = bitmaps();
        assertThat(only(after)).isEqualTo(new BitmapView("nightly", BLOCK, BLOCK, "kept"));
        after.begin(disk);
        assertThat(only(bitmaps()).state())
                .as("a daemon after a crash, once more")
                .isEqualTo("inconsistent");
        write(disk, 3 * BLOCK);
        after.endAll(false);
        assertThat(only(bitmaps()).dirtyBytes()).isEqualTo(2 * BLOCK);
        assertThatThrownBy(() -> after.clear("vm", "nightly")).hasMessageContaining("about to end");
    }

    @Test
    void keptOnesAreClearedAndRemovedTooWhileNobodyHasTheDisk() throws Exception {
        OpenDisk disk = open(SIZE_BYTES);
        Bitmaps bitmaps = bitmaps();
        bitmaps.begin(disk);
        for (String name : List.of("nightly", "weekly", "monthly")) {
            bitmaps.add("vm", SIZE_BYTES, new BitmapAdd(name, BLOCK));
        }
        write(disk, BLOCK);
        bitmaps.end("vm");
        bitmaps.clear("vm", "weekly");
        assertThat(bitmaps.list("vm")).extracting(BitmapView::dirtyBytes).containsExactly((long) BLOCK, 0L, (long)
                BLOCK);
        bitmaps.remove("vm", "nightly");
        assertThat(bitmaps.list("vm")).extracting(BitmapView::name).containsExactly("weekly", "monthly");
        assertThatThrownBy(() -> bitmaps.remove("vm", "nightly")).hasMessageContaining("has no bitmap nightly");
        assertThatThrownBy(() -> bitmaps.clear("vm", "nightly")).hasMessageContaining("has no bitmap nightly");
    }

    @Test
    void aBitmapOfADiskOfAnotherSizeIsInconsistent() throws Exception {
        Bitmaps bitmaps = bitmaps();
        bitmaps.add("vm", SIZE_BYTES, new BitmapAdd("nightly", BLOCK));
        bitmaps.begin(open(SIZE_BYTES + 512));
        assertThat(only(bitmaps).state()).isEqualTo("inconsistent");
        bitmaps.clear("vm", "nightly");
        assertThat(only(bitmaps).state()).isEqualTo("recording");
    }

    @Test
    void whatCannotBeWrittenHasChangedNothing() throws Exception {
        try (SmallDisk small = SmallDisk.of(folder, 1 << 20)) {
            OpenDisk disk = open(SIZE_BYTES);
            Bitmaps bitmaps = new Bitmaps(small.path());
            bitmaps.begin(disk);
            bitmaps.add("vm", SIZE_BYTES, new BitmapAdd("nightly", BLOCK));
            write(disk, BLOCK);
            small.fill();
            assertThatThrownBy(() -> bitmaps.add("vm", SIZE_BYTES, new BitmapAdd("weekly", BLOCK)))
                    .isInstanceOf(ProblemException.class)
                    .hasMessageContaining("cannot be kept");
            assertThatThrownBy(() -> bitmaps.clear("vm", "nightly")).hasMessageContaining("cannot be kept");
            assertThat(only(bitmaps)).isEqualTo(new BitmapView("nightly", BLOCK, BLOCK, "recording"));
            assertThat(small.path().toFile().list()).containsExactlyInAnyOrder("vm.bitmaps", "filler");
            write(disk, 2 * BLOCK);
            small.empty();
            bitmaps.add("vm", SIZE_BYTES, new BitmapAdd("weekly", BLOCK));
            bitmaps.clear("vm", "nightly");
            bitmaps.remove("vm", "weekly");
            write(disk, 0);
            assertThat(only(bitmaps)).isEqualTo(new BitmapView("nightly", BLOCK, BLOCK, "recording"));
            bitmaps.end("vm");
            assertThat(only(new Bitmaps(small.path()))).isEqualTo(new BitmapView("nightly", BLOCK, BLOCK, "kept"));
        }
    }

    @Test
    void whatCannotBeKeptIsInconsistent() throws Exception {
        try (SmallDisk small = SmallDisk.of(folder, 1 << 20)) {
            OpenDisk disk = open(SIZE_BYTES);
            Bitmaps bitmaps = new Bitmaps(small.path());
            bitmaps.begin(disk);
            bitmaps.add("vm", SIZE_BYTES, new BitmapAdd("nightly", BLOCK));
            write(disk, BLOCK);
            small.fill();
            bitmaps.end("vm");
            assertThat(small.path().toFile().list()).containsExactlyInAnyOrder("vm.bitmaps", "filler");
            assertThat(only(new Bitmaps(small.path())).state()).isEqualTo("inconsistent");
        }
    }

    @Test
    void aFullDiskCostsTheBitmapsAndNotTheDisk() throws Exception {
        try (SmallDisk small = SmallDisk.of(folder, 1 << 20)) {
            new Bitmaps(small.path()).add("vm", SIZE_BYTES, new BitmapAdd("nightly", BLOCK));
            small.fill();
            OpenDisk disk = open(SIZE_BYTES);
            Bitmaps bitmaps = new Bitmaps(small.path());
            bitmaps.begin(disk);
            write(disk, 0);
            assertThat(only(bitmaps).state()).isEqualTo("inconsistent");
            assertThat(bitmaps.contexts("vm")).isEmpty();
            assertThat(new Bitmaps(small.path()).list("vm"))
                    .as("a daemon after a crash believes nothing")
                    .isEmpty();
            small.empty();
            bitmaps.end("vm");
            Bitmaps after = new Bitmaps(small.path());
            assertThat(only(after).state()).isEqualTo("inconsistent");
            after.begin(disk);
            after.clear("vm", "nightly");
            assertThat(only(after).state()).isEqualTo("recording");
        }
    }

    @Test
    void aDamagedFileCostsTheBitmapsAndNotTheDisk() throws Exception {
        Bitmaps bitmaps = bitmaps();
        bitmaps.add("vm", SIZE_BYTES, new BitmapAdd("nightly", BLOCK));
        Path file = folder.resolve("bitmaps/vm.bitmaps");
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length - 1));
        assertThatThrownBy(() -> bitmaps.list("vm"))
                .isInstanceOf(ProblemException.class)
                .hasMessageContaining(file.toString())
                .hasMessageContaining("delete that file");
        OpenDisk disk = open(SIZE_BYTES);
        bitmaps.begin(disk);
        write(disk, 0);
        assertThat(bitmaps.contexts("vm")).isEmpty();
        bitmaps.end("vm");
        assertThat(file).hasSize(bytes.length - 1);
    }
}
