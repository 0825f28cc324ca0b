// Connector/J of MariaDB asks the primary: prints ROWS:ERROR:MESSAGE.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class Incident {
    public static void main(String[] arguments) throws SQLException {
        try (Connection db = DriverManager.getConnection(
                "jdbc:mariadb://" + System.getenv("G_HOST") + ":" + System.getenv("G_PORT")
                    + "/shop?useSsl=true&serverSslCert=" + System.getenv("G_CA"),
                System.getenv("G_USER"), System.getenv("G_TOKEN"));
             Statement asked = db.createStatement()) {
            asked.execute("CALL safeconsole.use('primary')");
            int rows = 0;
            try (ResultSet found = asked.executeQuery(System.getenv("G_SQL"))) {
                while (found.next()) {
                    rows++;
                }
                System.out.println(rows + ":0:");
            } catch (SQLException error) {
                System.out.println("0:" + error.getErrorCode() + ":" + error.getMessage());
            }
        }
    }
}
