package dev.ferry.image.fuzz;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.FileBytes;
import dev.ferry.image.LoopBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimLoop;
import java.util.function.Consumer;

/**
 * A file whose bytes mean ill, opened as a disk and used: read, asked for its map, written and zeroed. Every request ends, well
 * or with an error that says why; nothing else comes of it.
 */
final class HostileFile {
    /** No image has others beside it here. */
    static final Neighbours ALONE = name -> {
        throw BlockError.of(ErrorKind.NOT_FOUND, "neighbour", "open", "there is none here")
                .toException();
    };

    private static final long ROOM_BYTES = 64 << 20;
    private static final int PIECE_BYTES = 32 << 10;
    private static final int PLACES = 6;
    private static final int MAPS_MAX = 64;

    /** What shows through below a delta. */
    static final Below PARENT = new Below(new MemoryDisk(1 << 20), 0);

    private static final IoBuffer BUFFER = IoBuffer.allocate(PIECE_BYTES);

    private final SimLoop loop = new SimLoop(1);
    private final BlockDevice file;

    private HostileFile(byte[] content) {
        MemoryDisk memory = MemoryDisk.growing(ROOM_BYTES);
        memory.fill(0, content);
        file = CheckedDevice.of(memory, "file");
    }

    /** Opens a file as a disk. */
    @FunctionalInterface
    interface Opening {
        BlockDevice open(SimLoop loop, OpenFile file) throws BlockException;
    }

    /** Does something with a file. */
    @FunctionalInterface
    interface Looking {
        void at(FileBytes file) throws BlockException;
    }

    static void use(byte[] content, Opening opening) {
        HostileFile hostile = new HostileFile(content);
        try {
            hostile.use(CheckedDevice.of(opening.open(hostile.loop, hostile.open()), "disk"));
        } catch (BlockException refused) {
            withReason(refused);
        }
    }

    static void look(byte[] content, Looking looking) {
        try {
            looking.at(new HostileFile(content).open().bytes());
        } catch (BlockException refused) {
            withReason(refused);
        }
    }

    /** The bytes of a file that was made well. */
    static byte[] made(Looking making) {
        SimLoop loop = new SimLoop(1);
        MemoryDisk memory = MemoryDisk.growing(ROOM_BYTES);
        try {
            making.at(new LoopBytes(loop, CheckedDevice.of(memory, "file")));
        } catch (BlockException failed) {
            throw new AssertionError(failed);
        }
        return memory.bytes(0, (int) memory.lengthBytes());
    }

    private OpenFile open() {
        return new OpenFile(new LoopBytes(loop, file), file);
    }

    private static void withReason(BlockException refused) {
        if (refused.error().message().isBlank()) {
            throw new AssertionError("refused without a reason");
        }
    }

    private void await(Consumer<Completion> request) {
        // An error is as good an end as any.
        boolean _ = OnLoop.await(loop, request) == null;
    }

    private void use(BlockDevice disk) {
        long size = disk.geometry().sizeBytes();
        int length = (int) Math.min(size, PIECE_BYTES);
        for (int i = 0; i < PLACES && length > 0; i++) {
            long at = (size - length) / PLACES * i;
            await(end -> disk.read(at, BUFFER, 0, length, end));
            await(end -> disk.write(at, BUFFER, 0, length, 0, end));
            await(end -> disk.writeZeroes(at, length, 0, end));
            await(end -> disk.discard(at, length, 0, end));
        }
        map(disk, size);
        await(disk::flush);
        await(disk::close);
    }

    private void map(BlockDevice disk, long size) {
        long[] told = new long[1];
        for (int i = 0; i < MAPS_MAX && told[0] < size; i++) {
            long from = told[0];
            await(end -> disk.extents(from, size - from, (offset, bytes, state) -> told[0] = offset + bytes, end));
            if (told[0] == from) {
                return;
            }
        }
    }
}
