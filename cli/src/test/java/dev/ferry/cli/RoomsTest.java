package dev.ferry.cli;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import dev.ferry.block.ForwardingDevice;
import dev.ferry.filter.snapshot.Layers;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The rooms of Ferry know whom they may know, and what belongs to one room stays in it. */
final class RoomsTest {
    private static final JavaClasses FERRY = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("dev.ferry");

    /** Each room, and those of ours that it may use besides itself. */
    private static final Map<String, List<String>> MAY_USE = new LinkedHashMap<>();

    static {
        MAY_USE.put("block", List.of());
        MAY_USE.put("reactor", List.of());
        MAY_USE.put("device", List.of("block", "reactor"));
        MAY_USE.put("filter", List.of("block"));
        MAY_USE.put("image", List.of("block"));
        MAY_USE.put("nbd", List.of("block", "reactor"));
        MAY_USE.put("datastore", List.of("block"));
        MAY_USE.put("stack", List.of("block", "reactor", "device", "filter", "image", "nbd", "datastore"));
        MAY_USE.put("migration", above("migration"));
        MAY_USE.put("server", above("server"));
        MAY_USE.put("cli", above("cli"));
    }

    private static List<String> above(String room) {
        List<String> all = List.of(
                "block",
                "reactor",
                "device",
                "filter",
                "image",
                "nbd",
                "datastore",
                "stack",
                "migration",
                "server",
                "cli");
        return all.subList(0, all.indexOf(room));
    }

    @TestFactory
    Stream<DynamicTest> aRoomUsesOnlyWhatItMay() {
        return MAY_USE.entrySet().stream()
                .map(entry -> DynamicTest.dynamicTest(entry.getKey(), () -> {
                    String room = entry.getKey();
                    List<String> allowed = new ArrayList<>(List.of("dev.ferry." + room + ".."));
                    entry.getValue().forEach(other -> allowed.add("dev.ferry." + other + ".."));
                    noClasses()
                            .that()
                            .resideInAPackage("dev.ferry." + room + "..")
                            .should()
                            .dependOnClassesThat(resideInAPackage("dev.ferry..")
                                    .and(not(resideInAnyPackage(allowed.toArray(String[]::new)))))
                            .check(FERRY);
                }));
    }

    @Test
    void roomsHaveNoCycles() {
        slices().matching("dev.ferry.(*)..").should().beFreeOfCycles().check(FERRY);
    }

    @Test
    void theServersWordsToItsClientsNeedNothingOfTheServer() {
        noClasses()
                .that()
                .resideInAnyPackage("dev.ferry.server.api..", "dev.ferry.server.client..")
                .should()
                .dependOnClassesThat(resideInAPackage("dev.ferry..")
                        .and(not(resideInAnyPackage("dev.ferry.server.api..", "dev.ferry.server.client.."))))
                .check(FERRY);
    }

    @Test
    void onlyTheReactorCallsForeignFunctions() {
        noClasses()
                .that()
                .resideOutsideOfPackage("dev.ferry.reactor..")
                .should()
                .dependOnClassesThat()
                .haveFullyQualifiedName("java.lang.foreign.Linker")
                .orShould()
                .dependOnClassesThat()
                .haveFullyQualifiedName("java.lang.foreign.SymbolLookup")
                .check(FERRY);
    }

    @Test
    void timeAndChanceAreParametersBelowTheServer() {
        noClasses()
                .that()
                .resideInAnyPackage(
                        "dev.ferry.block..",
                        "dev.ferry.device..",
                        "dev.ferry.filter..",
                        "dev.ferry.image..",
                        "dev.ferry.nbd..",
                        "dev.ferry.datastore..",
                        "dev.ferry.migration..",
                        "dev.ferry.stack..")
                .and()
                .doNotHaveFullyQualifiedName("dev.ferry.datastore.GradualDelete")
                .should()
                .callMethod(System.class, "nanoTime")
                .orShould()
                .callMethod(System.class, "currentTimeMillis")
                .orShould()
                .callMethod(Instant.class, "now")
                .orShould()
                .callMethod(Math.class, "random")
                .orShould()
                .callConstructor(SplittableRandom.class)
                .orShould()
                .dependOnClassesThat()
                .haveFullyQualifiedName("java.util.Random")
                .orShould()
                .dependOnClassesThat()
                .haveFullyQualifiedName("java.util.concurrent.ThreadLocalRandom")
                .because("Loop.nanoTime, a clock or a seeded generator is handed in instead")
                .check(FERRY);
    }

    @Test
    void onlyWhatHasNothingToDoWithChangesLetsThemPassUnseen() {
        classes()
                .that()
                .areAssignableTo(ForwardingDevice.class)
                .should()
                .be(ForwardingDevice.class)
                .orShould()
                .be(Layers.class)
                .orShould()
                .haveFullyQualifiedName("dev.ferry.stack.Borrowed")
                .because(
                        "a filter that records, counts or orders changes is a FilterDevice, and says what it does with each")
                .check(FERRY);
    }

    @Test
    void nobodyButTheCommandLineWritesToTheScreen() {
        noClasses()
                .that()
                .resideOutsideOfPackages("dev.ferry.cli..", "dev.ferry.bench..")
                .should()
                .accessField(System.class, "out")
                .orShould()
                .accessField(System.class, "err")
                .check(FERRY);
    }

    @Test
    void namesSayWhatAThingIs() {
        classes()
                .should()
                .haveSimpleNameNotEndingWith("Util")
                .andShould()
                .haveSimpleNameNotEndingWith("Utils")
                .andShould()
                .haveSimpleNameNotEndingWith("Helper")
                .andShould()
                .haveSimpleNameNotEndingWith("Manager")
                .andShould()
                .haveSimpleNameNotEndingWith("Impl")
                .check(FERRY);
    }
}
