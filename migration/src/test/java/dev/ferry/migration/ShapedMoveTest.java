package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.json.JsonMapper;

/** A qcow2 disk keeps its shape in a move, or gets the one that was asked for, whatever happens in between. */
final class ShapedMoveTest extends EngineRig {
    private static final int RECORDS_MAX = 40;
    private static final int SIZE_BYTES = 3 * World.MIB;
    private static final Qcow2Shape OLD = new Qcow2Shape(2, 4096L, false, 16);
    private static final Qcow2Shape PARTED = new Qcow2Shape(3, 32L << 10, true, 8);

    /** A qcow2 disk in datastore slow. */
    private static byte[] disk(World in, String name, Qcow2Shape shape) throws Exception {
        Path path = Files.createFile(in.datastore("slow").directory().resolve(name + ".qcow2"));
        DiskSpec spec = new DiskSpec(name, path, Provisioning.THIN, false, false, ImageFormat.QCOW2, SIZE_BYTES);
        DiskSide any = in.stacks.openAlone(spec.in(ImageFormat.RAW).asReadOnly());
        Images.format(
                any.loop(),
                spec,
                (loop, file) -> FileDevice.open(
                        loop.events(), file.path(), file.shownAs(), new FileOptions(file.readOnly(), false, true)),
                SIZE_BYTES,
                shape);
        any.close();
        byte[] content = new byte[SIZE_BYTES];
        byte[] some = new byte[World.MIB];
        new Random(name.hashCode()).nextBytes(some);
        System.arraycopy(some, 0, content, 300_000, some.length);
        DiskSide side = in.stacks.openAlone(spec);
        IoBuffer buffer = IoBuffer.allocate(some.length);
        buffer.copyFrom(some, 0, 0, some.length);
        OnLoop.await(side.loop().loop(), done -> side.device().write(300_000, buffer, 0, some.length, 0, done));
        side.flush();
        side.close();
        in.know(spec);
        return content;
    }

    private static void assertThere(World in, String name, Qcow2Shape shape, byte[] content) throws Exception {
        DiskSpec spec = in.disk(name).spec();
        assertThat(spec.path().getParent())
                .isEqualTo(in.directory.resolve("fast").toRealPath());
        assertThat(Qcow2Shape.of(in.stacks.describe(spec))).isEqualTo(shape);
        OpenDisk disk = in.openDisk(name);
        IoBuffer buffer = IoBuffer.allocate(SIZE_BYTES);
        OnLoop.await(disk.loop().loop(), done -> disk.front().read(0, buffer, 0, SIZE_BYTES, done));
        byte[] bytes = new byte[SIZE_BYTES];
        buffer.copyTo(0, bytes, 0, SIZE_BYTES);
        assertThat(Arrays.equals(bytes, content)).isTrue();
    }

    private static MigrationRequest move(@Nullable ImageFormat format, @Nullable Provisioning provisioning) {
        return new MigrationRequest(
                List.of("vm1"),
                "fast",
                format,
                provisioning,
                0,
                true,
                false,
                0,
                PaceSettings.DEFAULT,
                StrategySettings.DEFAULT);
    }

    static Stream<Arguments> moves() {
        Qcow2Shape asked = new Qcow2Shape(null, 2L << 20, false, 64);
        return Stream.of(
                Arguments.of(OLD, null, OLD),
                Arguments.of(PARTED, null, PARTED),
                Arguments.of(PARTED, asked, new Qcow2Shape(3, 2L << 20, false, 64)),
                Arguments.of(OLD, new Qcow2Shape(null, null, true, null), new Qcow2Shape(3, 128L << 10, true, 16)));
    }

    @ParameterizedTest
    @MethodSource("moves")
    void aCrashAtAnyRecordLeavesTheShapeThatIsToBe(Qcow2Shape has, @Nullable Qcow2Shape asked, Qcow2Shape becomes)
            throws Exception {
        MigrationRequest request =
                asked == null ? move(null, null) : move(null, null).shaped(asked);
        CutAfter.eachRecord(directory, RECORDS_MAX, cut -> {
            World other = cut.world();
            byte[] content = disk(other, "vm1", has);
            boolean whole = cut.moveToTheEnd(request);
            assertThere(other, "vm1", becomes, content);
            assertThat(other.names("fast")).containsExactly("vm1.qcow2");
            assertThat(other.names("slow")).isEmpty();
            return whole;
        });
    }

    @Test
    void roomIsReservedInAnyShape() throws Exception {
        for (Provisioning provisioning : List.of(Provisioning.LAZY, Provisioning.EAGER)) {
            String datastore = provisioning == Provisioning.LAZY ? "fast" : "third";
            byte[] _ = disk(world, "vm1", PARTED);
            Qcow2Shape small = new Qcow2Shape(3, 512L, false, 1);
            assertDone(engine.start(
                            new MigrationRequest(List.of("vm1"), datastore, provisioning, 0, true, false).shaped(small))
                    .id());
            assertThat(Qcow2Shape.of(world.stacks.describe(world.disk("vm1").spec())))
                    .isEqualTo(small);
            assertThat(Stacks.allocatedBytes(world.path("vm1"))).isGreaterThanOrEqualTo(SIZE_BYTES);
        }
    }

    @Test
    void aDiskOfAnotherFormatBecomesAQcow2ImageAsIsUsual() throws Exception {
        byte[] content = world.disk("vm1", SIZE_BYTES, Provisioning.THIN, 5);
        assertDone(engine.start(move(ImageFormat.QCOW2, null)).id());
        assertThere(
                world,
                "vm1",
                Qcow2Shape.of(world.stacks.describe(world.disk("vm1").spec())),
                content);
        assertThat(Qcow2Shape.of(world.stacks.describe(world.disk("vm1").spec())))
                .isEqualTo(new Qcow2Shape(3, 64L << 10, false, 16));
    }

    @Test
    void whatCannotBeIsRefusedBeforeAnythingIsMade() throws Exception {
        byte[] _ = disk(world, "vm1", OLD);
        Qcow2Shape shape = new Qcow2Shape(null, 1L << 20, false, null);
        refused(
                ErrorKind.INVALID,
                "it becomes vhdx",
                () -> engine.start(move(ImageFormat.VHDX, null).shaped(shape)));
        refused(
                ErrorKind.INVALID,
                "keep their shape",
                () -> engine.start(move(null, null).shaped(shape).withChain()));
        refused(
                ErrorKind.INVALID,
                "power of two",
                () -> engine.start(move(null, null).shaped(new Qcow2Shape(null, 1000L, false, null))));
        assertThat(world.names("fast")).isEmpty();
        assertThat(engine.list()).isEmpty();
    }

    /** A journal of a version that had no shapes; its targets are as those were. */
    @Test
    void aRecordWithoutAShapeIsRead() throws Exception {
        byte[] _ = disk(world, "vm1", OLD);
        DiskRecord[] written = new DiskRecord[1];
        world.whenWritten = record -> written[0] = record.disks().getFirst();
        assertDone(engine.start(move(null, null)).id());
        assertThat(written[0].targetShape()).isEqualTo(OLD);
        JsonMapper json = JsonMapper.builder().build();
        String with = json.writeValueAsString(written[0]);
        String without = with.replaceFirst("\"targetShape\":\\{[^}]*},", "");
        assertThat(without).isNotEqualTo(with);
        assertThat(json.readValue(with, DiskRecord.class)).isEqualTo(written[0]);
        assertThat(json.readValue(without, DiskRecord.class).targetShape()).isNull();
    }
}
