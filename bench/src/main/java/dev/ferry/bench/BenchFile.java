package dev.ferry.bench;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Random;

/**
 * The file that all servers of a measurement serve.
 *
 * <p>How its page cache came to be decides what is measured: on file systems with large folios, a cache filled by a long
 * sequential copy makes 4k random writes up to twelve times slower than one filled by 4k writes. So all share one file,
 * which is written once, dropped from the cache, and refilled by 4k writes in random order.
 */
record BenchFile(Path path, long sizeBytes) {
    private static final int PAGE = 4096;
    private static final int CHUNK = 1 << 20;
    private static final long SEED = 2;

    /** Writes the file with random bytes, so that nothing on the way can take them for zeroes. */
    static BenchFile write(Path path, long sizeBytes) {
        Random random = new Random(SEED);
        byte[] bytes = new byte[CHUNK];
        random.nextBytes(bytes);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            ByteBuffer chunk = ByteBuffer.allocateDirect(CHUNK).put(bytes);
            for (long offset = 0; offset < sizeBytes; offset += CHUNK) {
                for (int page = 0; page < CHUNK; page += PAGE) {
                    chunk.putLong(page, offset + page);
                }
                chunk.clear().limit((int) Math.min(CHUNK, sizeBytes - offset));
                writeFully(channel, chunk, offset);
            }
            channel.force(true);
        } catch (IOException e) {
            throw new BenchException("cannot write " + path + ": " + e.getMessage(), e);
        }
        return new BenchFile(path, sizeBytes);
    }

    /** Drops the file from the page cache. It must be on the disk already. */
    void evict(Path scratch) {
        // Of dd(1): count=0 with the flag nocache drops the cache of the whole file.
        Program.run(scratch, List.of("dd", "if=" + path, "iflag=nocache", "count=0", "status=none"));
    }

    /** Evicts the file and fills the page cache again by writes of 4 KiB, each page once, in random order. */
    BenchFile refill(Path scratch) {
        evict(scratch);
        int pages = (int) (sizeBytes / PAGE);
        // A full-period generator of a power of two visits each number once; those beyond the file are skipped.
        int span = Integer.highestOneBit(Math.max(1, pages - 1)) << 1;
        Random random = new Random(SEED);
        byte[] bytes = new byte[PAGE];
        random.nextBytes(bytes);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
            ByteBuffer page = ByteBuffer.allocateDirect(PAGE).put(bytes);
            int number = 0;
            for (int step = 0; step < span; step++) {
                number = (int) ((number * 1_664_525L + 1_013_904_223L) & (span - 1));
                if (number < pages) {
                    page.clear();
                    page.putLong(0, number);
                    writeFully(channel, page, (long) number * PAGE);
                }
            }
            channel.force(true);
        } catch (IOException e) {
            throw new BenchException("cannot write " + path + ": " + e.getMessage(), e);
        }
        return this;
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes, long offset) throws IOException {
        long at = offset;
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }
}
