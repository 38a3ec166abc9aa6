package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.Loop;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vhd.VhdCreator;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vhd.VhdKind;
import dev.ferry.image.vhdx.VhdxCreator;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vhdx.VhdxKind;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.image.vmdk.WritableVmdk;
import java.time.Instant;
import java.util.UUID;

/** Disks in one file of other hypervisors' formats that take changes, as tests make and open them. */
enum GrownFormat {
    VMDK_SPARSE("vmdk") {
        @Override
        void create(FileBytes file, long sizeBytes) throws BlockException {
            VmdkText text = new VmdkText(VmdkKind.MONOLITHIC_SPARSE, "disk.vmdk", sizeBytes, 0x1234abcd);
            VmdkWriter writer = new VmdkWriter(file, text);
            writer.zeroes((sizeBytes + writer.clusterBytes() - 1) / writer.clusterBytes());
            writer.finish();
        }

        @Override
        BlockDevice open(Loop loop, OpenFile file) throws BlockException {
            return WritableVmdk.open(
                    file,
                    loop,
                    loop,
                    name -> {
                        throw new AssertionError(name);
                    },
                    0x5678cdef);
        }

        @Override
        BlockDevice reading(Loop loop, OpenFile file) throws BlockException {
            return VmdkImage.open(file, loop, loop, name -> {
                throw new AssertionError(name);
            });
        }
    },
    VHD_DYNAMIC("vpc") {
        @Override
        void create(FileBytes file, long sizeBytes) throws BlockException {
            VhdCreator.create(file, sizeBytes, VhdKind.DYNAMIC, MADE, IDENTITY);
        }

        @Override
        BlockDevice open(Loop loop, OpenFile file) throws BlockException {
            return VhdImage.open(file.bytes()).writable(loop, file.device(), null);
        }

        @Override
        BlockDevice reading(Loop loop, OpenFile file) throws BlockException {
            return VhdImage.open(file.bytes()).device(file.device(), null);
        }
    },
    VHD_FIXED("vpc") {
        @Override
        void create(FileBytes file, long sizeBytes) throws BlockException {
            VhdCreator.create(file, sizeBytes, VhdKind.FIXED, MADE, IDENTITY);
        }

        @Override
        BlockDevice open(Loop loop, OpenFile file) throws BlockException {
            return VHD_DYNAMIC.open(loop, file);
        }

        @Override
        BlockDevice reading(Loop loop, OpenFile file) throws BlockException {
            return VHD_DYNAMIC.reading(loop, file);
        }
    },
    VHDX_DYNAMIC("vhdx") {
        @Override
        void create(FileBytes file, long sizeBytes) throws BlockException {
            VhdxCreator.create(file, sizeBytes, VhdxKind.DYNAMIC, IDENTITY);
        }

        @Override
        BlockDevice open(Loop loop, OpenFile file) throws BlockException {
            VhdxImage.replay(file.bytes());
            return VhdxImage.open(file.bytes()).writable(loop, file.bytes(), file.device(), new UUID(18, 5), null);
        }

        @Override
        BlockDevice reading(Loop loop, OpenFile file) throws BlockException {
            return VhdxImage.open(file.bytes()).device(file.device(), null);
        }
    },
    VHDX_FIXED("vhdx") {
        @Override
        void create(FileBytes file, long sizeBytes) throws BlockException {
            VhdxCreator.create(file, sizeBytes, VhdxKind.FIXED, IDENTITY);
        }

        @Override
        BlockDevice open(Loop loop, OpenFile file) throws BlockException {
            return VHDX_DYNAMIC.open(loop, file);
        }

        @Override
        BlockDevice reading(Loop loop, OpenFile file) throws BlockException {
            return VHDX_DYNAMIC.reading(loop, file);
        }
    };

    private static final Instant MADE = Instant.parse("2026-01-01T00:00:00Z");
    private static final UUID IDENTITY = new UUID(17, 4);

    /** As QEMU calls it. */
    final String qemu;

    GrownFormat(String qemu) {
        this.qemu = qemu;
    }

    abstract void create(FileBytes file, long sizeBytes) throws BlockException;

    abstract BlockDevice open(Loop loop, OpenFile file) throws BlockException;

    abstract BlockDevice reading(Loop loop, OpenFile file) throws BlockException;
}
