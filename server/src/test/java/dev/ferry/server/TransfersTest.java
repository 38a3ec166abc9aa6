package dev.ferry.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.OnLoop;
import dev.ferry.testkit.PassingDevice;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Transfers that share a disk of two portions, each on a loop of its own. */
@Timeout(60)
final class TransfersTest {
    private static final long SIZE_BYTES = 256L << 20;

    @TempDir
    Path directory;

    @BeforeEach
    void makeDisk() throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(disk().toFile(), "rw")) {
            file.setLength(SIZE_BYTES);
        }
    }

    private Path disk() {
        return directory.resolve("disk");
    }

    private FileDevice open(DiskLoop loop) throws Exception {
        return FileDevice.open(loop.events(), disk(), new FileOptions(true, false));
    }

    /** A source that is all data, so that every byte of it is asked for. */
    private static class Source extends PassingDevice {
        final List<Completion> held = new ArrayList<>();
        int reads;

        Source(BlockDevice next) {
            super(next);
        }

        @Override
        public void extents(long offset, long length, ExtentSink sink, Completion completion) {
            sink.extent(offset, length, 0);
            completion.complete(null);
        }
    }

    /** Holds what it is asked for until it is told to go on. */
    private static final class Held extends Source {
        private boolean holds = true;

        Held(BlockDevice next) {
            super(next);
        }

        @Override
        public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
            reads++;
            if (holds) {
                held.add(completion);
            } else {
                super.read(offset, buffer, at, length, completion);
            }
        }

        void goOn() {
            holds = false;
            held.forEach(completion -> completion.complete(null));
        }
    }

    private static final class Broken extends Source {
        Broken(BlockDevice next) {
            super(next);
        }

        @Override
        public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
            completion.complete(BlockError.of(ErrorKind.IO, "broken", "read", offset, length, "it is broken"));
        }
    }

    @Test
    void whenOneFailsTheOthersAskForNoMoreAndItsErrorIsTold() throws Exception {
        try (DataPlane plane = DataPlane.start(2, EventLoops.Kind.AUTO)) {
            DiskLoop one = plane.loops().get(0);
            DiskLoop other = plane.loops().get(1);
            Held held = new Held(open(one));
            Broken broken = new Broken(open(other));
            Portions portions = Portions.of(SIZE_BYTES);
            Transfers transfers = new Transfers();
            transfers.begin(Transfer.sharing(portions, one.loop(), held, open(one), true));
            transfers.begin(Transfer.sharing(portions, other.loop(), broken, open(other), true));
            int before = OnLoop.get(one.loop(), () -> held.reads);
            assertThat(before).isPositive();
            OnLoop.run(one.loop(), held::goOn);
            assertThatThrownBy(transfers::join).hasMessageContaining("it is broken");
            assertThat(OnLoop.get(one.loop(), () -> held.reads)).isEqualTo(before);
        }
    }

    /** Is called off while it reads, and reads at once: nothing of what is left may pass for copied. */
    private static final class CalledOff extends Source {
        private Runnable stop = () -> {};

        CalledOff(BlockDevice next) {
            super(next);
        }

        @Override
        public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
            reads++;
            stop.run();
            completion.complete(null);
        }
    }

    @Test
    void whatIsCalledOffDoesNotPassForDone() throws Exception {
        try (DataPlane plane = DataPlane.start(1, EventLoops.Kind.AUTO)) {
            DiskLoop loop = plane.loops().getFirst();
            CalledOff source = new CalledOff(open(loop));
            Transfer transfer = new Transfer(loop.loop(), source, open(loop), true);
            source.stop = transfer::stop;
            assertThatThrownBy(transfer::run).hasMessageContaining("called off");
            assertThat(source.reads).isEqualTo(1);
        }
    }

    @Test
    void allOfTheDiskIsDealtWith() throws Exception {
        try (DataPlane plane = DataPlane.start(2, EventLoops.Kind.AUTO)) {
            Portions portions = Portions.of(SIZE_BYTES);
            Transfers transfers = new Transfers();
            for (DiskLoop loop : plane.loops()) {
                transfers.begin(Transfer.sharing(portions, loop.loop(), new Source(open(loop)), open(loop), true));
            }
            transfers.join();
            assertThat(transfers.doneBytes()).isEqualTo(SIZE_BYTES);
        }
    }
}
