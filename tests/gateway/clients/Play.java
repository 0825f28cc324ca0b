// Connector/J of MariaDB: with values it fills them in itself, or prepares.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class Play {
    static Connection db;

    static String read() throws SQLException {
        try (PreparedStatement asked = db.prepareStatement("SELECT status FROM orders WHERE id = ?")) {
            asked.setInt(1, Integer.parseInt(System.getenv("G_ID")));
            try (ResultSet rows = asked.executeQuery()) {
                rows.next();
                return rows.getString(1);
            }
        }
    }

    static void write() throws SQLException {
        try (PreparedStatement change = db.prepareStatement("UPDATE orders SET status = ? WHERE id = ?")) {
            change.setString(1, System.getenv("G_MARK"));
            change.setInt(2, Integer.parseInt(System.getenv("G_ID")));
            change.executeUpdate();
        }
    }

    public static void main(String[] arguments) throws SQLException {
        String prepares = arguments[0].equals("prepared") ? "&useServerPrepStmts=true" : "";
        db = DriverManager.getConnection(
            "jdbc:mariadb://" + System.getenv("G_HOST") + ":" + System.getenv("G_PORT")
                + "/shop?useSsl=true&serverSslCert=" + System.getenv("G_CA") + prepares,
            System.getenv("G_USER"), System.getenv("G_TOKEN"));
        System.out.println("read:" + read());
        try {
            write();
        } catch (SQLException error) {
            System.out.println("refused:" + error.getErrorCode() + ":" + error.getMessage());
        }
        try (Statement elevate = db.createStatement()) {
            elevate.execute("CALL safeconsole.elevate('clients', 'OPS-1', 'shop')");
        }
        write();
        System.out.println("saw:" + read());
        db.close();
    }
}
