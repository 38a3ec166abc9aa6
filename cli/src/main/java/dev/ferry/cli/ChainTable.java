package dev.ferry.cli;

import dev.ferry.stack.Chain;
import java.util.List;

/** The files of a chain for people, from the top. */
final class ChainTable {
    private ChainTable() {}

    static void print(Screen screen, List<Chain.Layer> layers) {
        Table table = new Table("DEPTH", "FORMAT", "SIZE", "ALLOCATED", "FILE", "SHARED BY");
        for (int i = 0; i < layers.size(); i++) {
            Chain.Layer layer = layers.get(i);
            table.row(
                    String.valueOf(i),
                    layer.spec().format().text(),
                    Quantities.size(layer.sizeBytes()),
                    Quantities.size(layer.allocatedBytes()),
                    ImageCommands.printable(layer.path().toString()),
                    sharers(layer.sharedBy().stream()
                            .map(path -> ImageCommands.printable(String.valueOf(path.getFileName())))
                            .toList()));
        }
        table.print(screen);
    }

    private static String sharers(List<String> names) {
        return names.isEmpty() ? "-" : String.join(", ", names);
    }
}
