package dev.ferry.server.rest;

import dev.ferry.server.api.Json;
import dev.ferry.server.api.ProblemException;
import java.util.List;

/** A request that has found its route. */
public final class RestRequest {
    private final List<String> variables;
    private final byte[] content;

    /**
     * @param variables what stands in the path where the pattern has braces, in order
     * @param content its body; empty where there is none
     */
    RestRequest(List<String> variables, byte[] content) {
        this.variables = List.copyOf(variables);
        this.content = content;
    }

    /** The first variable of the path. */
    public String name() {
        return variables.getFirst();
    }

    /** The second one. */
    public String secondName() {
        return variables.get(1);
    }

    public <T> T body(Class<T> type) throws ProblemException {
        return Json.read(content, type);
    }
}
