package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.image.sparse.DeltaChain;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vhd.VhdCreator;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vhdx.VhdxCreator;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vmdk.VmdkDescriptor;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.image.vmdk.WritableVmdk;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import java.time.Instant;
import java.util.Objects;
import java.util.UUID;

/** Deltas over a parent in one file each, as tests make and open them. */
enum DeltaFormat {
    VMDK(GrownFormat.VMDK_SPARSE) {
        @Override
        void create(FileBytes file, FileBytes parent, String parentName, long sizeBytes) throws BlockException {
            VmdkDescriptor its = Objects.requireNonNull(VmdkImage.descriptor(parent));
            VmdkText alone = new VmdkText(VmdkKind.MONOLITHIC_SPARSE, "delta.vmdk", sizeBytes, 0x2345bcde);
            VmdkText text = new VmdkText(
                    alone.kind(), alone.parts(), alone.contentId(), new VmdkText.Parent(parentName, its.contentId()));
            new VmdkWriter(file, text).finishEmpty();
        }

        @Override
        BlockDevice open(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException {
            return WritableVmdk.open(file, loop, loop, neighbours, 0x6789def0);
        }

        @Override
        BlockDevice reading(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException {
            return VmdkImage.open(file, loop, loop, neighbours);
        }
    },
    /** As QEMU makes it where it is told to: a table can say that a grain is zeroes. */
    VMDK_ZERO_GRAINS(GrownFormat.VMDK_SPARSE) {
        @Override
        void create(FileBytes file, FileBytes parent, String parentName, long sizeBytes) throws BlockException {
            VMDK.create(file, parent, parentName, sizeBytes);
            byte[] flags = file.read(8, 1);
            flags[0] |= 4;
            file.write(4, new byte[] {2});
            file.write(8, flags);
        }

        @Override
        BlockDevice open(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException {
            return VMDK.open(loop, file, neighbours);
        }

        @Override
        BlockDevice reading(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException {
            return VMDK.reading(loop, file, neighbours);
        }
    },
    VHD(GrownFormat.VHD_DYNAMIC) {
        @Override
        void create(FileBytes file, FileBytes parent, String parentName, long sizeBytes) throws BlockException {
            VhdCreator.Parent its =
                    new VhdCreator.Parent(parentName, VhdImage.open(parent).identity(), MADE);
            VhdCreator.createDelta(file, sizeBytes, MADE, new UUID(21, 7), its);
        }

        @Override
        BlockDevice open(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException {
            return DeltaChain.open(
                    file,
                    loop,
                    neighbours,
                    VhdImage::open,
                    (image, below) -> image.writable(loop, file.device(), below));
        }

        @Override
        BlockDevice reading(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException {
            return DeltaChain.open(file, loop, neighbours, VhdImage::open);
        }
    },
    VHDX(GrownFormat.VHDX_DYNAMIC) {
        @Override
        void create(FileBytes file, FileBytes parent, String parentName, long sizeBytes) throws BlockException {
            VhdxCreator.Parent its =
                    new VhdxCreator.Parent(parentName, VhdxImage.open(parent).dataIdentity(), 512);
            VhdxCreator.createDelta(file, sizeBytes, new UUID(22, 8), its);
        }

        @Override
        BlockDevice open(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException {
            VhdxImage.replay(file.bytes());
            return DeltaChain.open(
                    file,
                    loop,
                    neighbours,
                    VhdxImage::open,
                    (image, below) -> image.writable(loop, file.bytes(), file.device(), new UUID(23, 9), below));
        }

        @Override
        BlockDevice reading(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException {
            return DeltaChain.open(file, loop, neighbours, VhdxImage::open);
        }
    };

    private static final Instant MADE = Instant.parse("2026-01-01T00:00:00Z");

    private static final int PARENT_ROOM_BYTES = 128 << 20;
    private static final int PIECE_BYTES = 1 << 20;

    /** Of the parent. */
    final GrownFormat base;

    DeltaFormat(GrownFormat base) {
        this.base = base;
    }

    /** Makes one that holds nothing. */
    abstract void create(FileBytes file, FileBytes parent, String parentName, long sizeBytes) throws BlockException;

    abstract BlockDevice open(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException;

    abstract BlockDevice reading(Loop loop, OpenFile file, Neighbours neighbours) throws BlockException;

    /** The file of a parent, in memory. */
    MemoryDisk parent(Loop loop, byte[] content) throws BlockException {
        MemoryDisk memory = MemoryDisk.growing(PARENT_ROOM_BYTES);
        BlockDevice file = CheckedDevice.of(memory, "parent");
        LoopBytes bytes = new LoopBytes(loop, file);
        base.create(bytes, content.length);
        BlockDevice disk = CheckedDevice.of(base.open(loop, new OpenFile(bytes, file)), "parent");
        for (int at = 0; at < content.length; at += PIECE_BYTES) {
            int from = at;
            IoBuffer piece = IoBuffer.allocate(Math.min(PIECE_BYTES, content.length - from));
            piece.copyFrom(content, from, 0, piece.capacity());
            if (!piece.isZero(0, piece.capacity())) {
                assertThat(OnLoop.await(loop, end -> disk.write(from, piece, 0, piece.capacity(), 0, end)))
                        .isNull();
            }
        }
        assertThat(OnLoop.await(loop, disk::close)).isNull();
        return memory;
    }

    /** Where there is one file besides, under any name. */
    static Neighbours only(Loop loop, MemoryDisk parent) {
        return name -> {
            BlockDevice file = CheckedDevice.of(parent, name);
            return new OpenFile(new LoopBytes(loop, file), file);
        };
    }
}
