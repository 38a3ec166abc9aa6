package dev.ferry.server.rest;

import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Maps a method and a path to what answers it. Filled once, then read by any thread. */
public final class Router {
    /** Answers a request on a thread that may block. */
    @FunctionalInterface
    public interface Answerer {
        /** @return what becomes the JSON of the answer, or null for none */
        @Nullable
        Object answer(RestRequest request) throws Exception;
    }

    /**
     * One line of the table.
     *
     * @param pattern a path, in which {@code {name}} stands for one segment
     * @param purpose what it does, for people
     */
    public record Route(String method, String pattern, String purpose, Answerer answerer) {}

    private final List<Route> routes = new ArrayList<>();

    public void add(String method, String pattern, String purpose, Answerer answerer) {
        routes.add(new Route(method, pattern, purpose, answerer));
    }

    public List<Route> routes() {
        return List.copyOf(routes);
    }

    @Nullable
    Object answer(String method, String path, byte[] content) throws Exception {
        boolean known = false;
        for (Route route : routes) {
            List<String> variables = match(route.pattern(), path);
            if (variables != null && route.method().equals(method)) {
                return route.answerer().answer(new RestRequest(variables, content));
            }
            known |= variables != null;
        }
        throw new ProblemException(
                known ? ProblemKind.WRONG_USAGE : ProblemKind.NOT_FOUND,
                known ? method + " does not go with " + path : "there is nothing at " + path);
    }

    private static @Nullable List<String> match(String pattern, String path) {
        String[] wanted = pattern.split("/", -1);
        String[] given = path.split("/", -1);
        if (wanted.length != given.length) {
            return null;
        }
        List<String> variables = new ArrayList<>();
        for (int i = 0; i < wanted.length; i++) {
            if (wanted[i].startsWith("{")) {
                variables.add(decode(given[i]));
            } else if (!wanted[i].equals(given[i])) {
                return null;
            }
        }
        return variables;
    }

    private static String decode(String segment) {
        try {
            return URLDecoder.decode(segment.replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException malformed) {
            return segment;
        }
    }
}
