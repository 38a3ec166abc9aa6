package dev.ferry.image.qcow2;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import org.jspecify.annotations.Nullable;

/**
 * The end of an open image: what is still to be recycled is, the reserve is counted as free again, and the file ends where
 * its last cluster does. If any of that fails there is a leak and nothing worse, so the files are closed all the same.
 */
final class Closing extends Steps {
    private final Qcow2Device device;
    private final Completion completion;
    private int state;
    private @Nullable BlockError problem;

    Closing(Qcow2Device device, Completion completion) {
        this.device = device;
        this.completion = completion;
    }

    void start() {
        if (device.readOnly()) {
            closeFiles();
            return;
        }
        device.reserve.close();
        device.recycler.settle(() -> {
            if (device.map.clean()) {
                advance();
            } else {
                device.flush(this);
            }
        });
    }

    @Override
    boolean step() {
        Runs left = device.reserve.runs;
        if (state++ == 0) {
            if (left.isEmpty()) {
                return true;
            }
            left.sort();
            device.refcounts.enter(new Uncount(device.refcounts, left, this));
            return false;
        }
        long tail = device.refcounts.tail;
        for (int i = left.size() - 1; i >= 0 && left.start(i) + left.count(i) == tail; i--) {
            tail = left.start(i);
        }
        if (state > 2 || tail == device.refcounts.tail || tail << device.clusterBits >= device.file.lengthBytes()) {
            return true;
        }
        device.file.resize(tail << device.clusterBits, this);
        return false;
    }

    @Override
    void ended(@Nullable BlockError error) {
        problem = error != null && error.kind() != ErrorKind.UNSUPPORTED ? error : null;
        closeFiles();
    }

    private void closeFiles() {
        device.file.close(error -> {
            note(error);
            if (device.external) {
                device.store.close(storeError -> {
                    note(storeError);
                    closeBacking();
                });
            } else {
                closeBacking();
            }
        });
    }

    private void note(@Nullable BlockError error) {
        if (problem == null) {
            problem = error;
        }
    }

    private void closeBacking() {
        if (device.backing == null) {
            completion.complete(problem);
            return;
        }
        device.backing.close(error -> {
            note(error);
            completion.complete(problem);
        });
    }
}
