// A client on go-xmpp, the library of go-sendxmpp and of many bots, driven by a test through its standard input.
//
//	go-xmpp starttls|tls HOST:PORT CERTIFICATE JID PASSWORD
//
// A line asks for something, its words separated by tabs: "connect", "say TO TEXT", "leave". Lines tell what
// happened: "online JID", "refused WHY", "message FROM TEXT", "gone".
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/xmppo/go-xmpp"
)

func main() {
	how, host, certificate, jid, password := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	pem, err := os.ReadFile(certificate)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	_, domain, _ := strings.Cut(jid, "@")
	options := xmpp.Options{
		Host:      host,
		User:      jid,
		Password:  password,
		Resource:  "go",
		TLSConfig: &tls.Config{ServerName: domain, RootCAs: roots},
		NoTLS:     how == "starttls",
		StartTLS:  how == "starttls",
		NoPLAIN:   true,
		Session:   true,
	}

	var client *xmpp.Client
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Split(lines.Text(), "\t")
		switch words[0] {
		case "connect":
			client, err = options.NewClient()
			if err != nil {
				tell("refused", err.Error())
				continue
			}
			tell("online", client.JID())
			go listen(client)
		case "say":
			if _, _, err := client.Send(xmpp.Chat{Remote: words[1], Type: "chat", Text: words[2]}); err != nil {
				tell("refused", err.Error())
			}
		case "leave":
			client.Close()
		default:
			log.Fatalf("unknown request %q", words[0])
		}
	}
}

// listen tells of messages until the connection ends.
func listen(client *xmpp.Client) {
	for {
		stanza, err := client.Recv()
		if err != nil {
			tell("gone")
			return
		}
		if chat, ok := stanza.(xmpp.Chat); ok && chat.Text != "" {
			tell("message", chat.Remote, chat.Text)
		}
	}
}

func tell(words ...string) {
	fmt.Println(strings.ReplaceAll(strings.Join(words, "\t"), "\n", " "))
}
