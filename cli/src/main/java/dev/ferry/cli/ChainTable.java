package dev.ferry.cli;

import dev.ferry.server.api.LayerView;
import dev.ferry.stack.Chain;
import java.nio.file.Path;
import java.util.List;

/** The files of a chain for people, from the top. */
final class ChainTable {
    private ChainTable() {}

    static void print(Screen screen, List<Chain.Layer> layers) {
        of(layers.stream()
                        .map(layer -> new LayerView(
                                layer.path().toString(),
                                layer.spec().format().text(),
                                layer.sizeBytes(),
                                layer.allocatedBytes(),
                                layer.sharedBy().stream().map(Path::toString).toList()))
                        .toList())
                .print(screen);
    }

    static Table of(List<LayerView> layers) {
        Table table = new Table("DEPTH", "FORMAT", "SIZE", "ALLOCATED", "FILE", "SHARED BY");
        for (int i = 0; i < layers.size(); i++) {
            LayerView layer = layers.get(i);
            List<String> others = layer.sharedBy().stream()
                    .map(path ->
                            ImageCommands.printable(String.valueOf(Path.of(path).getFileName())))
                    .toList();
            table.row(
                    String.valueOf(i),
                    layer.format(),
                    Quantities.size(layer.sizeBytes()),
                    Quantities.size(layer.allocatedBytes()),
                    ImageCommands.printable(layer.path()),
                    others.isEmpty() ? "-" : String.join(", ", others));
        }
        return table;
    }
}
