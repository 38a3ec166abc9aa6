package dev.ferry.block;

import java.io.IOException;
import java.io.Serial;

/** A {@link BlockError} in the control plane, where code is ordinary and blocking. */
public final class BlockException extends IOException {
    @Serial
    private static final long serialVersionUID = 1L;

    private final transient BlockError error;

    public BlockException(BlockError error) {
        super(error.message(), error.cause());
        this.error = error;
    }

    public BlockError error() {
        return error;
    }

    public ErrorKind kind() {
        return error.kind();
    }
}
