package dev.ferry.testkit;

import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** The content of a disk in pages of 4 KiB that are there or not. What is not there reads as zeroes. */
final class SparseBytes {
    static final int PAGE_BYTES = 4096;

    private final long sizeBytes;
    private final @Nullable Page[] pages;

    private static final class Page {
        private final byte[] bytes;

        Page(byte[] bytes) {
            this.bytes = bytes;
        }
    }

    SparseBytes(long sizeBytes) {
        this.sizeBytes = sizeBytes;
        this.pages = new Page[Math.toIntExact((sizeBytes + PAGE_BYTES - 1) / PAGE_BYTES)];
    }

    void read(long offset, IoBuffer buffer, int at, int length) {
        for (int done = 0, run; done < length; done += run) {
            long from = offset + done;
            run = Math.min(length - done, inPage(from));
            Page page = pages[page(from)];
            if (page == null) {
                buffer.zero(at + done, run);
            } else {
                buffer.copyFrom(page.bytes, (int) (from % PAGE_BYTES), at + done, run);
            }
        }
    }

    byte[] read(long offset, int length) {
        byte[] bytes = new byte[length];
        for (int done = 0, run; done < length; done += run) {
            long from = offset + done;
            run = Math.min(length - done, inPage(from));
            Page page = pages[page(from)];
            if (page != null) {
                System.arraycopy(page.bytes, (int) (from % PAGE_BYTES), bytes, done, run);
            }
        }
        return bytes;
    }

    void write(long offset, IoBuffer buffer, int at, int length) {
        for (int done = 0, run; done < length; done += run) {
            long from = offset + done;
            run = Math.min(length - done, inPage(from));
            buffer.copyTo(at + done, allocate(from), (int) (from % PAGE_BYTES), run);
        }
    }

    void write(long offset, byte[] bytes) {
        for (int done = 0, run; done < bytes.length; done += run) {
            long from = offset + done;
            run = Math.min(bytes.length - done, inPage(from));
            System.arraycopy(bytes, done, allocate(from), (int) (from % PAGE_BYTES), run);
        }
    }

    /** @param hole whole pages go away; otherwise they come to be */
    void zero(long offset, long length, boolean hole) {
        for (long done = 0, run; done < length; done += run) {
            long from = offset + done;
            run = Math.min(length - done, inPage(from));
            boolean whole = from % PAGE_BYTES == 0 && (run == PAGE_BYTES || from + run == sizeBytes);
            if (hole && whole) {
                pages[page(from)] = null;
            } else if (!hole || pages[page(from)] != null) {
                int at = (int) (from % PAGE_BYTES);
                Arrays.fill(allocate(from), at, at + (int) run, (byte) 0);
            }
        }
    }

    /** Takes whole pages of another, holes and all. */
    void copyPages(SparseBytes from, long offset, long length) {
        for (int page = page(offset); page < page(offset + length); page++) {
            Page other = from.pages[page];
            pages[page] = other == null ? null : new Page(other.bytes.clone());
        }
    }

    boolean isHole(long offset) {
        return pages[page(offset)] == null;
    }

    void extents(long offset, long length, ExtentSink sink) {
        long end = offset + length;
        for (long from = offset, to; from < end; from = to) {
            boolean data = pages[page(from)] != null;
            to = from;
            while (to < end && (pages[page(to)] != null) == data) {
                to += inPage(to);
            }
            to = Math.min(to, end);
            sink.extent(from, to - from, data ? 0 : ExtentSink.HOLE | ExtentSink.ZERO);
        }
    }

    long allocatedBytes() {
        return Arrays.stream(pages).filter(page -> page != null).count() * PAGE_BYTES;
    }

    SparseBytes copy() {
        SparseBytes copy = new SparseBytes(sizeBytes);
        for (int i = 0; i < pages.length; i++) {
            Page page = pages[i];
            copy.pages[i] = page == null ? null : new Page(page.bytes.clone());
        }
        return copy;
    }

    private byte[] allocate(long offset) {
        Page page = pages[page(offset)];
        if (page == null) {
            page = new Page(new byte[PAGE_BYTES]);
            pages[page(offset)] = page;
        }
        return page.bytes;
    }

    private static int page(long offset) {
        return (int) (offset / PAGE_BYTES);
    }

    private static int inPage(long offset) {
        return PAGE_BYTES - (int) (offset % PAGE_BYTES);
    }
}
