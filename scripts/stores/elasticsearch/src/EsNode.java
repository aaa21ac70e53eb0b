import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** One Elasticsearch node with HTTP. Args: HOME (holds modules/) PORT DATA_DIR */
public class EsNode {
    public static void main(String[] a) throws Exception {
        int port = Integer.parseInt(a[1]);
        Node node = node(Path.of(a[0]), Path.of(a[2]).toAbsolutePath(), port);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(node)));
        node.start(); // throws when the port is taken; every thread of the node is a daemon, so the JVM then exits with 1
        System.out.println("READY http://127.0.0.1:" + port);
        Thread.currentThread().join(); // for good
    }

    static Node node(Path home, Path data, int port) throws Exception {
        Path config = Files.createDirectories(data.resolve("config")); // empty; per node, as HOME may be shared
        Settings s = Settings.builder()
            .put("path.home", home)
            .put("path.data", data.resolve("data"))
            .put("path.logs", data.resolve("logs"))
            .put("cluster.name", "local").put("node.name", "node-1")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.host", System.getenv().getOrDefault("ES_HTTP_HOST", "127.0.0.1"))
            .put("http.port", port)
            .put("transport.port", 0) // any: nobody joins a single node
            .put("cluster.max_shards_per_node", 5000) // an index for every test
            .put("cluster.routing.allocation.disk.threshold_enabled", false) // no read-only indices on a full disk
            .build();
        LogConfigurator.configureESLogging(); // before any server class that logs is touched
        Environment env = InternalSettingsPreparer.prepareEnvironment(s, Map.of(), config, () -> "node-1");
        // What Elasticsearch's own main does, less entitlements: their agent is not published.
        PluginsLoader modules = PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(env.modulesDir()), Set.of(), Map.of());
        return new Node(env, modules);
    }

    static void stop(Node node) {
        try {
            node.prepareForClose();
            node.close();
            node.awaitClose(10, TimeUnit.SECONDS);
        } catch (Exception e) {
            e.printStackTrace();
        }
    }
}
