# Sourced by ./ferry: makes cli/target/dist, the folder that Ferry runs from, and starts what is in it.
#
#   cli/target/dist/lib/*.jar    Ferry and its libraries
#   cli/target/dist/ferry.aot    what a JVM would otherwise work out at every start (JDK 25's AOT cache)
#   cli/target/dist/tools.aot    the same for 'ferry nbd' and 'ferry image', which need less
#   cli/target/dist/stamp        newer than every source it was made of

# build_dist ROOT: builds if anything is newer than the last build. Needs JAVA_HOME.
build_dist() {
    local root=$1 dist=$1/cli/target/dist
    if [[ -f $dist/stamp && -z $(find "$root"/*/src/main "$root"/pom.xml "$root"/*/pom.xml -newer "$dist/stamp" -print -quit) ]]; then
        return 0
    fi
    (
        flock 9
        # Another start may have built it while this one waited.
        if [[ -f $dist/stamp && -z $(find "$root"/*/src/main "$root"/pom.xml "$root"/*/pom.xml -newer "$dist/stamp" -print -quit) ]]; then
            exit 0
        fi
        type -P mvn >/dev/null || { echo "ferry: Maven is missing; on Debian: apt-get install maven" >&2; exit 1; }
        echo "ferry: building, once (a minute or two, longer where libraries have to be fetched) ..." >&2
        log=$(mktemp "${TMPDIR:-/tmp}/ferry-build.XXXXXX")
        started=$(mktemp "${TMPDIR:-/tmp}/ferry-stamp.XXXXXX")
        trap 'rm -f "$log" "$started"' EXIT
        rm -rf "$dist"
        if ! (cd "$root" && mvn -q -B -DskipTests -pl cli,bench -am package) >"$log" 2>&1; then
            grep -E 'ERROR|BUILD' "$log" | head -20 >&2
            trap 'rm -f "$started"' EXIT
            echo "ferry: the build failed; all of its output is in $log" >&2
            exit 1
        fi
        renew_old_classes "$root" "$dist" || echo "ferry: old classes stay as they are; starts will be slower" >&2
        { make_cache "$dist" ferry && make_cache "$dist" tools; } || echo "ferry: no AOT cache could be made; starts will be slower" >&2
        mv "$started" "$dist/stamp"
    ) 9>"$root/.build.lock"
}

# class_path DIST: all jars, always in the same order, as an AOT cache wants it.
class_path() {
    local jars
    jars=$(LC_ALL=C printf '%s:' "$1"/lib/*.jar)
    printf '%s' "${jars%:}"
}

# renew_old_classes ROOT DIST: picocli is compiled for Java 5, and the AOT cache takes nothing so old.
renew_old_classes() {
    "$JAVA_HOME/bin/java" "$1/build/Renew.java" "$2"/lib/picocli-*.jar
}

# make_cache DIST [ferry|tools]: one run that does a little of everything, or of what the tools do, watched by the JVM.
make_cache() {
    local dist=$1 what=${2:-ferry}
    "$JAVA_HOME/bin/java" -XX:AOTCacheOutput="$dist/$what.aot" -XX:+UseSerialGC -Xlog:disable -Xlog:all=off \
        --enable-native-access=ALL-UNNAMED -Dferry.home="$dist" -cp "$(class_path "$dist")" dev.ferry.cli.Rehearsal "$what" >/dev/null 2>&1
    [[ -f $dist/$what.aot ]]
}

# run_ferry ROOT ARGUMENTS...: does not come back. FERRY_JAVA_OPTIONS adds options for the JVM.
run_ferry() {
    local dist=$1/cli/target/dist main=dev.ferry.cli.Ferry cache=ferry
    shift
    case ${1-} in nbd | image) cache=tools ;; esac
    local -a options=(-XX:+UseSerialGC -XX:-UsePerfData -Xlog:disable -Xlog:all=error:stderr --enable-native-access=ALL-UNNAMED)
    [[ -f $dist/$cache.aot ]] && options+=(-XX:AOTCache="$dist/$cache.aot")
    case ${1-} in
        bench) main=dev.ferry.bench.Bench; shift ;;                  # a room above cli, with a main class of its own
        demo) ;;                                                     # it moves data, and earns the better compiler
        nbd) [[ ${2-} == serve ]] || options+=(-XX:TieredStopAtLevel=1) ;; # so does a server; the other tools wait for the kernel
        serve)                                                       # the parent that holds the sockets, or, under systemd, the daemon
            [[ -n ${NOTIFY_SOCKET-} || " $* " == *" --no-supervisor "* ]] || options+=(-XX:TieredStopAtLevel=1 -Xms4m -Xmx16m)
            ;;
        *) options+=(-XX:TieredStopAtLevel=1) ;;                     # these are over before it would pay
    esac
    # shellcheck disable=SC2086
    exec "$JAVA_HOME/bin/java" "${options[@]}" ${FERRY_JAVA_OPTIONS-} -Dferry.home="$dist" -cp "$(class_path "$dist")" "$main" "$@"
}
