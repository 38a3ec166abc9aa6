package dev.ferry.cli;

import dev.ferry.block.BlockException;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;

/** Checks names before anybody is asked about them. */
final class Names {
    private Names() {}

    /** @param what {@code disk} or {@code datastore} */
    static String checked(String what, String name) throws ProblemException {
        try {
            return dev.ferry.datastore.Names.checked(what, name);
        } catch (BlockException malformed) {
            throw Problems.wrongUsage(
                    "this is no name for a " + what + ": " + malformed.error().detail());
        }
    }
}
