package dev.ferry.reactor;

import java.util.Objects;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;

/**
 * A call that blocks, on its way from a loop to a worker thread and back. Each operation has one, made when it is first
 * needed, and used again: file I/O on a loop without io_uring allocates nothing for a request.
 *
 * <p><b>Thread.</b> Filled in on the loop, worked on by a worker, ended on the loop again; the queues between them hand
 * it over.
 */
final class WorkerTask implements Runnable {

    private enum Call {
        READ,
        WRITE,
        DATA_SYNC,
        ALLOCATE,
        OTHER
    }

    private final IoOperation operation;
    private @Nullable ThreadLoop loop;
    private Call call = Call.OTHER;
    private EventLoop.@Nullable BlockingWork work;
    private int file;
    private int mode;
    private long position;
    private long address;
    private long length;
    private int result;

    /** In the queue of tasks that no worker has taken; guarded by that. */
    @Nullable
    WorkerTask next;

    private WorkerTask(IoOperation operation) {
        this.operation = operation;
    }

    private static WorkerTask of(IoOperation operation, ThreadLoop loop, Call call, int file) {
        if (operation.slot >= 0) {
            throw new IllegalStateException("the operation is in flight already");
        }
        WorkerTask task = operation.task;
        if (task == null) {
            task = new WorkerTask(operation);
            operation.task = task;
        }
        operation.slot = ThreadLoop.OUTSIDE;
        task.loop = loop;
        task.call = call;
        task.file = file;
        return task;
    }

    static void read(ThreadLoop loop, int file, long position, long address, int length, IoOperation operation) {
        of(operation, loop, Call.READ, file).transfer(position, address, length);
    }

    static void write(ThreadLoop loop, int file, long position, long address, int length, IoOperation operation) {
        of(operation, loop, Call.WRITE, file).transfer(position, address, length);
    }

    private void transfer(long newPosition, long newAddress, int newLength) {
        position = newPosition;
        address = newAddress;
        length = newLength;
        Workers.run(this);
    }

    static void dataSync(ThreadLoop loop, int file, IoOperation operation) {
        Workers.run(of(operation, loop, Call.DATA_SYNC, file));
    }

    static void allocate(ThreadLoop loop, int file, int mode, long position, long length, IoOperation operation) {
        WorkerTask task = of(operation, loop, Call.ALLOCATE, file);
        task.mode = mode;
        task.position = position;
        task.length = length;
        Workers.run(task);
    }

    static void other(ThreadLoop loop, EventLoop.BlockingWork work, IoOperation operation) {
        WorkerTask task = of(operation, loop, Call.OTHER, -1);
        task.work = work;
        Workers.run(task);
    }

    /** By a worker. */
    void work() {
        try {
            result = switch (call) {
                case READ -> Linux.pread(file, address, (int) length, position);
                case WRITE -> Linux.pwrite(file, address, (int) length, position);
                case DATA_SYNC -> Linux.dataSync(file);
                case ALLOCATE -> Linux.allocate(file, mode, position, length);
                case OTHER -> Objects.requireNonNull(work).run();
            };
        } catch (RuntimeException defect) {
            Defects.log("blocking work failed", defect);
            result = -Errno.EIO;
        }
        try {
            Objects.requireNonNull(loop).execute(this);
        } catch (RejectedExecutionException closed) {
            System.getLogger(WorkerTask.class.getName())
                    .log(System.Logger.Level.DEBUG, "nobody waits for a call any more: its loop is closed");
        }
    }

    /** Back on the loop. */
    @Override
    public void run() {
        work = null;
        operation.slot = -1;
        Objects.requireNonNull(loop).deliver(operation, result);
    }
}
