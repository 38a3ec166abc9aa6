package dev.ferry.device;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.FileFacts;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import org.jspecify.annotations.Nullable;

/**
 * A range that the file system copies from one file to another, on a worker thread.
 *
 * <pre>
 *   SHARE   xfs, btrfs: both files get the same blocks (FICLONERANGE), holes and all
 *   RANGE   NFS, SMB, Ceph, FUSE: the server copies (copy_file_range); through the page cache only
 * </pre>
 *
 * <p>Other file systems would only do in the kernel what is done here, no quicker, and would not see what is zeroes.
 *
 * <p>Sharing locks both files for as long as it takes to write out what is dirty in the range, so that is done before. The
 * kernel sees to it that what was written past the page cache, or is still in it, is what is shared, and that the target's pages
 * of before are forgotten. Thread: the loop's; {@link #run} a worker's.
 */
final class StoreCopy extends IoOperation implements EventLoop.BlockingWork {
    /** How a file system copies by itself. */
    enum Kind {
        NONE,
        SHARE,
        RANGE
    }

    private final Kind kind;
    private final FileDevice source;
    private final FileDevice target;
    private final long offset;
    private final long length;
    private final Completion completion;

    StoreCopy(Kind kind, FileDevice source, FileDevice target, long offset, long length, Completion completion) {
        this.kind = kind;
        this.source = source;
        this.target = target;
        this.offset = offset;
        this.length = length;
        this.completion = completion;
    }

    /** What can be done in the file system of a file that is open for writing. Blocks. */
    static Kind kindOf(int file, FileFacts facts, long sizeBytes, boolean direct) {
        if (!facts.regular()) {
            return Kind.NONE;
        }
        // Nothing, from behind its end: no file is changed by that, but a file system that cannot share says so.
        if (Linux.shareRange(file, sizeBytes, file, sizeBytes, 0) == 0) {
            return Kind.SHARE;
        }
        boolean byServer = facts.fileSystem() == FileFacts.NFS
                || facts.fileSystem() == FileFacts.SMB
                || facts.fileSystem() == FileFacts.CEPH
                || facts.fileSystem() == FileFacts.FUSE;
        return byServer && !direct ? Kind.RANGE : Kind.NONE;
    }

    /** Whether two files may be in one file system; where that cannot be seen the first copy tells. */
    static boolean together(FileFacts one, FileFacts other) {
        return one.fileSystem() == other.fileSystem()
                && (one.device() == other.device() || one.fileSystem() == FileFacts.BTRFS);
    }

    void start(EventLoop loop) {
        source.storeCopyBegins();
        target.storeCopyBegins();
        loop.offload(this, this);
    }

    @Override
    public int run() {
        return kind == Kind.SHARE ? share() : copy();
    }

    private int share() {
        int result = writeOut(source.file());
        if (result == 0) {
            result = writeOut(target.file());
        }
        return result < 0 ? result : Linux.shareRange(source.file(), offset, target.file(), offset, length);
    }

    /**
     * By a descriptor of its own: an error of the disk is told once to each open file, and it is the guest's flush that is to
     * hear of it.
     */
    private int writeOut(int file) {
        int own = Linux.open("/proc/self/fd/" + file, Linux.O_RDONLY, 0);
        if (own < 0) {
            return own;
        }
        int result = Linux.writeOut(own, offset, length);
        Linux.close(own);
        return result;
    }

    private int copy() {
        for (long done = 0; done < length; ) {
            long copied =
                    Linux.copyFileRange(source.file(), offset + done, target.file(), offset + done, length - done);
            if (copied <= 0) {
                return copied == 0 ? -Errno.EIO : (int) copied;
            }
            done += copied;
        }
        return 0;
    }

    @Override
    protected void completed(int result) {
        @Nullable
        BlockError error = result == 0
                ? null
                : BlockError.of(
                        ErrorKind.UNSUPPORTED,
                        target.toString(),
                        kind == Kind.SHARE ? "share" : "copy",
                        offset,
                        length,
                        Errno.text(result));
        source.storeCopyEnded();
        target.storeCopyEnded();
        completion.complete(error);
    }
}
