package dev.ferry.cli;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Commands under one name. Where it is known which of them is meant, only that one is made and loaded. */
final class CommandGroup {
    private final Object group;
    private final Map<String, Supplier<Object>> members = new LinkedHashMap<>();

    /** @param group annotated with the name and the description that they share */
    CommandGroup(Object group) {
        this.group = group;
    }

    CommandGroup with(String name, Supplier<Object> member) {
        members.put(name, member);
        return this;
    }

    /** @param meant the word behind the group's name; null, or none of these: all are made, for help and for errors */
    CommandLine line(@Nullable String meant) {
        CommandLine line = new CommandLine(group);
        members.forEach((name, member) -> {
            if (name.equals(meant) || meant == null || !members.containsKey(meant)) {
                line.addSubcommand(name, member.get());
            }
        });
        return line;
    }
}
