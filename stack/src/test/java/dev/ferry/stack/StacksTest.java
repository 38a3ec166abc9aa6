package dev.ferry.stack;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.NewDisk;
import dev.ferry.device.ReactorLoop;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.image.Provisioning;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class StacksTest {
    private static final int SIZE = 1 << 20;

    @TempDir
    Path directory;

    private EventLoops loops;
    private Stacks stacks;

    @BeforeEach
    void start() {
        loops = EventLoops.start(2, EventLoops.Kind.AUTO);
        List<DiskLoop> diskLoops = new ArrayList<>();
        for (EventLoop events : loops.all()) {
            diskLoops.add(new DiskLoop(events, new ReactorLoop(events), BufferPool.ofBytes(16 << 20)));
        }
        stacks = new Stacks(diskLoops, StackContractTest::file);
    }

    @AfterEach
    void end() {
        loops.close();
    }

    private DiskSpec make(String name) throws BlockException {
        NewDisk disk = Datastore.open("store", directory).create(name, "raw", SIZE);
        disk.publish();
        return new DiskSpec(name, disk.file(), Provisioning.THIN, false, false);
    }

    @Test
    void disksGoRoundTheLoops() throws Exception {
        OpenDisk first = stacks.acquire(make("a"));
        OpenDisk second = stacks.acquire(make("b"));
        OpenDisk third = stacks.acquire(make("c"));
        assertThat(first.loop()).isNotSameAs(second.loop()).isSameAs(third.loop());
    }

    @Test
    void aDiskIsOpenOnceAndClosedByItsLastUser() throws Exception {
        DiskSpec spec = make("a");
        OpenDisk disk = stacks.acquire(spec);
        assertThat(stacks.acquire(spec)).isSameAs(disk);
        stacks.release(disk);
        write(disk, 0, (byte) 5);
        assertThat(stacks.find("a")).contains(disk);
        stacks.release(disk);
        assertThat(stacks.find("a")).isEmpty();
        assertThat(Files.readAllBytes(spec.path())[0]).isEqualTo((byte) 5);
        assertThatThrownBy(() -> write(disk, 0, (byte) 6))
                .isInstanceOfSatisfying(
                        BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.CLOSED));
    }

    @Test
    void aMirrorGoesInAndOutAndTheGuestSeesNothing() throws Exception {
        OpenDisk disk = stacks.acquire(make("a"));
        DiskSide target = stacks.openSide(disk, make("b"));
        LiveMirror mirror = LiveMirror.insert(disk, target, MirrorSettings.DEFAULT, why -> {});
        write(disk, 4096, (byte) 7);
        mirror.remove();
        mirror.dropTarget();
        write(disk, 8192, (byte) 8);
        assertThat(disk.stats()).isNotNull();
        stacks.release(disk);
        byte[] found = Files.readAllBytes(directory.resolve("a.raw"));
        assertThat(found[4096]).isEqualTo((byte) 7);
        assertThat(found[8192]).isEqualTo((byte) 8);
    }

    @Test
    void aSwitchWithoutTheTargetInStepDoesNotHappen() throws Exception {
        OpenDisk disk = stacks.acquire(make("a"));
        DiskSide target = stacks.openSide(disk, make("b"));
        LiveMirror mirror = LiveMirror.insert(disk, target, MirrorSettings.DEFAULT, why -> {});
        AtomicBoolean asked = new AtomicBoolean();
        assertThatThrownBy(() -> mirror.switchOver(() -> asked.set(true)))
                .isInstanceOfSatisfying(
                        BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.UNAVAILABLE));
        assertThat(asked).isFalse();
        write(disk, 0, (byte) 1);
        assertThat(disk.side().spec().name()).isEqualTo("a");
    }

    @Test
    void aSwitchWhoseDecisionFailsDoesNotHappen() throws Exception {
        OpenDisk disk = stacks.acquire(make("a"));
        DiskSide target = stacks.openSide(disk, make("b"));
        LiveMirror mirror = LiveMirror.insert(disk, target, MirrorSettings.DEFAULT, why -> {});
        OnLoop.run(disk.loop().loop(), () -> {
            mirror.mirror().watchChanges(0, mirror.mirror().regions());
            mirror.mirror().skip(0);
        });
        assertThatThrownBy(() -> mirror.switchOver(() -> {
                    throw BlockError.of(ErrorKind.IO, "journal", "write", "no").toException();
                }))
                .hasMessageContaining("journal");
        write(disk, 0, (byte) 1);
        assertThat(disk.path()).isEqualTo(directory.toRealPath().resolve("a.raw"));
        Crossing.Pause pause = mirror.switchOver(() -> {});
        assertThat(pause.totalNanos()).isGreaterThanOrEqualTo(pause.drainNanos() + pause.flushNanos());
        assertThat(disk.path()).isEqualTo(directory.toRealPath().resolve("b.raw"));
        write(disk, 4096, (byte) 2);
        mirror.finish(disk.path());
        stacks.release(disk);
        byte[] found = Files.readAllBytes(directory.resolve("b.raw"));
        assertThat(found[0]).isEqualTo((byte) 1);
        assertThat(found[4096]).isEqualTo((byte) 2);
    }

    @Test
    void aFileThatIsMissingIsRefused() {
        DiskSpec spec = new DiskSpec("a", directory.resolve("a.raw"), Provisioning.THIN, false, false);
        assertThatThrownBy(() -> stacks.acquire(spec))
                .isInstanceOfSatisfying(
                        BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.NOT_FOUND));
        assertThat(stacks.open()).isEmpty();
        assertThatThrownBy(() -> Stacks.allocatedBytes(spec.path())).isInstanceOf(BlockException.class);
    }

    private static void write(OpenDisk disk, long offset, byte value) throws BlockException {
        byte[] bytes = new byte[4096];
        Arrays.fill(bytes, value);
        IoBuffer buffer = IoBuffer.allocate(4096);
        buffer.copyFrom(bytes, 0, 0, 4096);
        OnLoop.await(disk.loop().loop(), done -> disk.front().write(offset, buffer, 0, 4096, 0, done));
    }
}
