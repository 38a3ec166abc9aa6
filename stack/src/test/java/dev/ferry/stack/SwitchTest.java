package dev.ferry.stack;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.NewDisk;
import dev.ferry.device.ReactorLoop;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.image.Provisioning;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Rule 11: what happens on both files at a switch, and in which order. */
@Timeout(30)
class SwitchTest {
    private static final int SIZE = 1 << 20;
    private static final Set<String> NOTED = Set.of("write", "writeZeroes", "discard", "flush");

    @TempDir
    Path directory;

    /** Such as {@code a flush}: what the files of disks a and b were asked, in order. */
    private final List<String> asked = new CopyOnWriteArrayList<>();

    /** The disk whose flushes fail. */
    private volatile String failing = "";

    private EventLoops loops;
    private OpenDisk disk;
    private LiveMirror mirror;

    @BeforeEach
    void start() throws Exception {
        loops = EventLoops.start(1, EventLoops.Kind.AUTO);
        List<DiskLoop> diskLoops = new ArrayList<>();
        for (EventLoop events : loops.all()) {
            diskLoops.add(new DiskLoop(events, new ReactorLoop(events), BufferPool.ofBytes(16 << 20)));
        }
        Stacks stacks = new Stacks(diskLoops, (loop, spec) -> noting(spec.name(), StackContractTest.file(loop, spec)));
        disk = stacks.acquire(make("a"));
        DiskSide target = stacks.openSide(disk, make("b"));
        mirror = LiveMirror.insert(disk, target, MirrorSettings.DEFAULT, why -> {});
        OnLoop.run(disk.loop().loop(), () -> {
            mirror.mirror().watchChanges(0, mirror.mirror().regions());
            mirror.mirror().skip(0);
        });
        asked.clear();
    }

    @AfterEach
    void end() {
        loops.close();
    }

    private DiskSpec make(String name) throws BlockException {
        NewDisk made = Datastore.open("store", directory).create(name, "raw", SIZE);
        made.publish();
        return new DiskSpec(name, made.file(), Provisioning.THIN, false, false);
    }

    private BlockDevice noting(String name, BlockDevice file) {
        return (BlockDevice) Proxy.newProxyInstance(
                SwitchTest.class.getClassLoader(), new Class<?>[] {BlockDevice.class}, (self, method, arguments) -> {
                    if (NOTED.contains(method.getName())) {
                        asked.add(name + " " + method.getName());
                    }
                    if (method.getName().equals("flush") && name.equals(failing)) {
                        BlockError error = BlockError.of(ErrorKind.IO, name, "flush", "failed on purpose");
                        ((Completion) arguments[0]).complete(error);
                        return null;
                    }
                    try {
                        return method.invoke(file, arguments);
                    } catch (InvocationTargetException defect) {
                        throw defect.getCause();
                    }
                });
    }

    /** A write of the guest's, which may have to wait. */
    private CompletableFuture<Boolean> write() throws BlockException {
        CompletableFuture<Boolean> end = new CompletableFuture<>();
        OnLoop.run(
                disk.loop().loop(),
                () -> disk.front().write(0, IoBuffer.allocate(4096), 0, 4096, 0, error -> end.complete(error == null)));
        return end;
    }

    @Test
    void bothSidesAreDurableBeforeTheDecisionAndTheGuestWaitsUntilAfterIt() throws Exception {
        List<CompletableFuture<Boolean>> writes = new ArrayList<>();
        Crossing.Pause pause = mirror.switchOver(() -> {
            writes.add(write());
            assertThat(writes.getFirst()).isNotDone();
            asked.add("decision");
        });
        assertThat(writes.getFirst().get(90, TimeUnit.SECONDS)).isTrue();
        assertThat(asked).containsExactly("a flush", "b flush", "decision", "b write");
        assertThat(disk.path()).hasFileName("b.raw");
        assertThat(pause.totalNanos()).isPositive();
    }

    @Test
    void aGuestThatWaitedForADecisionThatFailedGoesOnOnBothSides() throws Exception {
        List<CompletableFuture<Boolean>> writes = new ArrayList<>();
        assertThatThrownBy(() -> mirror.switchOver(() -> {
                    writes.add(write());
                    throw BlockError.of(ErrorKind.IO, "journal", "write", "no").toException();
                }))
                .hasMessageContaining("journal");
        assertThat(writes.getFirst().get(90, TimeUnit.SECONDS)).isTrue();
        assertThat(asked).containsExactly("a flush", "b flush", "a write", "b write");
        assertThat(disk.path()).hasFileName("a.raw");
    }

    @ParameterizedTest
    @ValueSource(strings = {"a", "b"})
    void aSideThatCannotBeMadeDurableMeansThatNothingHasHappened(String side) throws Exception {
        failing = side;
        assertThatThrownBy(() -> mirror.switchOver(() -> asked.add("decision"))).isInstanceOf(BlockException.class);
        assertThat(asked).containsExactly("a flush", "b flush");
        assertThat(disk.path()).hasFileName("a.raw");
        assertThat(write().get(90, TimeUnit.SECONDS)).isTrue();
        assertThat(asked).contains("a write");
    }
}
