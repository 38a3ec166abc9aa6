package dev.ferry.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class CheckedDeviceTest {
    private static final Capabilities NOTHING = new Capabilities(false, false, false, false, false, false, false);

    /** Writes down what reaches it, and ends it at once or when told to. */
    private static final class Recorder implements BlockDevice {
        private final Geometry geometry;
        private final Capabilities capabilities;
        private final List<String> seen = new ArrayList<>();
        private final List<Completion> held = new ArrayList<>();
        private boolean hold;
        private @Nullable BlockError answer;

        Recorder(Geometry geometry, Capabilities capabilities) {
            this.geometry = geometry;
            this.capabilities = capabilities;
        }

        private void see(String request, Completion completion) {
            seen.add(request);
            if (hold) {
                held.add(completion);
            } else {
                completion.complete(answer);
            }
        }

        @Override
        public Geometry geometry() {
            return geometry;
        }

        @Override
        public Capabilities capabilities() {
            return capabilities;
        }

        @Override
        public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
            see("read " + offset + "+" + length, completion);
        }

        @Override
        public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
            see("write " + offset + "+" + length + " " + flags, completion);
        }

        @Override
        public void writeZeroes(long offset, long length, int flags, Completion completion) {
            see("zero " + offset + "+" + length + " " + flags, completion);
        }

        @Override
        public void discard(long offset, long length, int flags, Completion completion) {
            see("discard " + offset + "+" + length + " " + flags, completion);
        }

        @Override
        public void flush(Completion completion) {
            see("flush", completion);
        }

        @Override
        public void extents(long offset, long length, ExtentSink sink, Completion completion) {
            see("extents", completion);
        }

        @Override
        public void close(Completion completion) {
            see("close", completion);
        }
    }

    private static final IoBuffer BUFFER = IoBuffer.allocate(1 << 16);

    private static @Nullable ErrorKind outcome(Consumer<Completion> submit) {
        List<@Nullable BlockError> ends = new ArrayList<>();
        submit.accept(ends::add);
        assertThat(ends).hasSize(1);
        BlockError error = ends.getFirst();
        return error == null ? null : error.kind();
    }

    @Test
    void whatBreaksTheContractNeverReachesTheDevice() {
        Recorder below = new Recorder(new Geometry(10_240, 512, 4096, 4096), Capabilities.ALL);
        BlockDevice device = CheckedDevice.of(below, "disk");
        long huge = Long.MAX_VALUE;
        assertThat(outcome(end -> device.read(-512, BUFFER, 0, 512, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.read(0, BUFFER, 0, 0, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.read(0, BUFFER, 0, -512, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.read(9728, BUFFER, 0, 1024, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.read(huge - 511, BUFFER, 0, 512, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.read(0, BUFFER, 0, 8192, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.read(0, BUFFER, 65_024, 1024, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.read(0, BUFFER, 100, 512, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.read(100, BUFFER, 0, 512, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.write(0, BUFFER, 0, 500, 0, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.write(0, BUFFER, 0, 512, 64, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.writeZeroes(0, huge, 0, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(outcome(end -> device.discard(512, huge, 0, end))).isEqualTo(ErrorKind.INVALID);
        assertThat(device.locate(9728, 1024, new FileRange())).isFalse();
        assertThat(below.seen).isEmpty();
    }

    @Test
    void theLastBlockMayBeShort() {
        Recorder below = new Recorder(new Geometry(1000, 512, 4096, 4096), Capabilities.ALL);
        BlockDevice device = CheckedDevice.of(below, "disk");
        assertThat(outcome(end -> device.write(512, BUFFER, 0, 488, 0, end))).isNull();
        assertThat(outcome(end -> device.write(0, BUFFER, 0, 488, 0, end))).isEqualTo(ErrorKind.INVALID);
    }

    @Test
    void aReadOnlyDeviceSeesNoChange() {
        Capabilities readOnly = new Capabilities(true, true, true, true, true, true, false);
        Recorder below = new Recorder(Geometry.ofBytes(8192), readOnly);
        BlockDevice device = CheckedDevice.of(below, "disk");
        assertThat(outcome(end -> device.write(0, BUFFER, 0, 512, 0, end))).isEqualTo(ErrorKind.READ_ONLY);
        assertThat(outcome(end -> device.writeZeroes(0, 512, 0, end))).isEqualTo(ErrorKind.READ_ONLY);
        assertThat(outcome(end -> device.discard(0, 512, 0, end))).isEqualTo(ErrorKind.READ_ONLY);
        assertThat(below.seen).isEmpty();
    }

    @Test
    void fuaIsMadeOfAFlushWhereItIsMissing() {
        Recorder below = new Recorder(Geometry.ofBytes(8192), NOTHING);
        BlockDevice device = CheckedDevice.of(below, "disk");
        assertThat(outcome(end -> device.write(0, BUFFER, 0, 512, RequestFlags.FUA, end)))
                .isNull();
        assertThat(below.seen).containsExactly("write 0+512 0", "flush");
        below.seen.clear();
        below.answer = BlockError.of(ErrorKind.IO, "disk", "write", "broken");
        assertThat(outcome(end -> device.write(0, BUFFER, 0, 512, RequestFlags.FUA, end)))
                .isEqualTo(ErrorKind.IO);
        assertThat(below.seen).as("no flush after a failed write").containsExactly("write 0+512 0");
    }

    @Test
    void zeroesAndDiscardsAreWrittenOutWhereTheyAreMissing() {
        Recorder below = new Recorder(new Geometry(10L << 20, 512, 4096, 1 << 20), NOTHING);
        BlockDevice device = CheckedDevice.of(below, "disk");
        assertThat(outcome(end -> device.writeZeroes(512, 2_500_096, RequestFlags.FUA, end)))
                .isNull();
        assertThat(below.seen)
                .containsExactly("write 512+1048576 0", "write 1049088+1048576 0", "write 2097664+402944 0", "flush");
        below.seen.clear();
        assertThat(outcome(end -> device.discard(0, 512, 0, end))).isNull();
        assertThat(below.seen).containsExactly("write 0+512 0");
        below.seen.clear();
        assertThat(outcome(end -> device.writeZeroes(0, 512, RequestFlags.FAST_ZERO, end)))
                .isEqualTo(ErrorKind.UNSUPPORTED);
        assertThat(below.seen).as("a fast zero that can't be changes nothing").isEmpty();
    }

    @Test
    void anEmulatedRequestThatWaitsGoesOnWhenItsPartsEnd() {
        Recorder below = new Recorder(new Geometry(10L << 20, 512, 4096, 1 << 20), NOTHING);
        below.hold = true;
        BlockDevice device = CheckedDevice.of(below, "disk");
        List<@Nullable BlockError> ends = new ArrayList<>();
        device.writeZeroes(0, 2 << 20, 0, ends::add);
        assertThat(below.seen).hasSize(1);
        below.held.removeFirst().complete(null);
        assertThat(below.seen).hasSize(2);
        assertThat(ends).isEmpty();
        below.held.removeFirst().complete(BlockError.of(ErrorKind.NO_SPACE, "disk", "write", "full"));
        assertThat(ends).hasSize(1);
        assertThat(below.seen).hasSize(2);
    }

    @Test
    void nothingFollowsAClose() {
        Recorder below = new Recorder(Geometry.ofBytes(8192), Capabilities.ALL);
        BlockDevice device = CheckedDevice.of(below, "disk");
        assertThat(outcome(device::close)).isNull();
        assertThat(outcome(end -> device.read(0, BUFFER, 0, 512, end))).isEqualTo(ErrorKind.CLOSED);
        assertThat(outcome(device::flush)).isEqualTo(ErrorKind.CLOSED);
        assertThat(outcome(device::close)).as("closing twice is harmless").isNull();
        assertThat(below.seen).containsExactly("close");
    }

    @Test
    void anErrorIsOneLineThatSaysWhatAndWhere() {
        BlockError error = BlockError.of(ErrorKind.IO, "/d/x.raw", "write", 8192, 4096, "input/output error");
        assertThat(error.message()).isEqualTo("write of 4096 bytes at 8192 on /d/x.raw failed: input/output error");
    }
}
