package dev.ferry.server.inventory;

import java.io.IOException;
import java.io.Serial;

/** The inventory cannot be opened; the message is one line that says which file, why, and what to do. */
public final class InventoryException extends IOException {
    @Serial
    private static final long serialVersionUID = 1L;

    public InventoryException(String message) {
        super(message);
    }

    public InventoryException(String message, Throwable cause) {
        super(message, cause);
    }
}
