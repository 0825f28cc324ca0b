// Go's driver: with values it prepares, or fills them in itself.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// types prints every value of a query as the driver reads it, text and prepared.
func types(socket, user, query string) {
	db, err := sql.Open("mysql", fmt.Sprintf("%s@unix(%s)/shop", user, socket))
	must(err)
	for _, asked := range []func() (*sql.Rows, error){
		func() (*sql.Rows, error) { return db.Query(query, 0) },
		func() (*sql.Rows, error) { return db.Query(strings.Replace(query, "?", "0", 1)) },
	} {
		rows, err := asked()
		must(err)
		columns, err := rows.ColumnTypes()
		must(err)
		for _, column := range columns {
			fmt.Println(column.Name(), column.DatabaseTypeName(), column.ScanType())
		}
		for rows.Next() {
			values, places := make([]any, len(columns)), make([]any, len(columns))
			for at := range values {
				places[at] = &values[at]
			}
			must(rows.Scan(places...))
			for _, value := range values {
				fmt.Printf("%T %x %v\n", value, value, value)
			}
		}
		must(rows.Err())
		rows.Close()
	}
}

func main() {
	if os.Args[1] == "types" {
		types(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	pem, err := os.ReadFile(os.Getenv("G_CA"))
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	must(mysql.RegisterTLSConfig("gateway", &tls.Config{RootCAs: roots, ServerName: "localhost"}))
	interpolate := ""
	if os.Args[1] == "interpolated" {
		interpolate = "&interpolateParams=true"
	}
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/shop?tls=gateway%s",
		os.Getenv("G_USER"), os.Getenv("G_TOKEN"), os.Getenv("G_HOST"), os.Getenv("G_PORT"), interpolate))
	must(err)
	db.SetMaxOpenConns(1)
	read := func() (status string) {
		must(db.QueryRow("SELECT status FROM orders WHERE id = ?", os.Getenv("G_ID")).Scan(&status))
		return
	}
	write := func() error {
		_, err := db.Exec("UPDATE orders SET status = ? WHERE id = ?", os.Getenv("G_MARK"), os.Getenv("G_ID"))
		return err
	}
	fmt.Println("read:" + read())
	var refusal *mysql.MySQLError
	if errors.As(write(), &refusal) {
		fmt.Printf("refused:%d:%s\n", refusal.Number, refusal.Message)
	}
	_, err = db.Exec("CALL safeconsole.elevate('clients', 'OPS-1', 'shop')")
	must(err)
	must(write())
	fmt.Println("saw:" + read())
}
