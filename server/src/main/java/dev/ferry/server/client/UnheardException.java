package dev.ferry.server.client;

import java.io.IOException;

/** Nobody has heard this request in full, so nobody has acted on it: whatever it asks for, it may be made again. */
final class UnheardException extends IOException {
    private static final long serialVersionUID = 1;

    UnheardException(IOException cause) {
        super(cause.getMessage(), cause);
    }
}
