// Package pki owns the cluster's certificates, service account key and
// kubeconfigs. Files that exist are kept, so a second start of the same state
// keeps every credential that was handed out.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is long on purpose: a development cluster has no rotation, and an
// expired certificate would look like any other failure.
const lifetime = 10 * 365 * 24 * time.Hour

// Authority signs certificates into one directory.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Request is what a certificate should say.
type Request struct {
	CommonName    string
	Organizations []string
	DNSNames      []string
	Addresses     []string
}

// OpenAuthority reads the authority `name` from dir, or makes it.
func OpenAuthority(dir, name string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	certFile, keyFile := pair(dir, name)
	if _, err := os.Stat(certFile); errors.Is(err, os.ErrNotExist) {
		key, err := newKey(keyFile)
		if err != nil {
			return nil, err
		}
		template, err := template(Request{CommonName: "longshore-" + name})
		if err != nil {
			return nil, err
		}
		template.IsCA = true
		template.BasicConstraintsValid = true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return nil, err
		}
		if err := writePEM(certFile, "CERTIFICATE", der, 0o644); err != nil {
			return nil, err
		}
	}
	key, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	cert, err := readCertificate(certFile)
	if err != nil {
		return nil, err
	}
	return &Authority{dir: dir, cert: cert, key: key}, nil
}

// Issue makes name.crt and name.key, valid for both ends of a connection,
// unless they exist.
func (a *Authority) Issue(name string, request Request) error {
	certFile, keyFile := pair(a.dir, name)
	if _, err := os.Stat(certFile); err == nil {
		return nil
	}
	key, err := newKey(keyFile)
	if err != nil {
		return err
	}
	template, err := template(request)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("signing %s: %w", name, err)
	}
	return writePEM(certFile, "CERTIFICATE", der, 0o644)
}

// ServiceAccountKey makes the key pair name.key and name.pub that signs and
// checks service account tokens, unless it exists.
func ServiceAccountKey(dir, name string) error {
	_, keyFile := pair(dir, name)
	publicFile := filepath.Join(dir, name+".pub")
	if _, err := os.Stat(publicFile); err == nil {
		return nil
	}
	key, err := newKey(keyFile)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writePEM(publicFile, "PUBLIC KEY", der, 0o644)
}

func pair(dir, name string) (cert, key string) {
	return filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
}

func template(request Request) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: request.CommonName, Organization: request.Organizations},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(lifetime),
		DNSNames:     request.DNSNames,
	}
	for _, address := range request.Addresses {
		ip := net.ParseIP(address)
		if ip == nil {
			return nil, fmt.Errorf("%q is no IP address", address)
		}
		cert.IPAddresses = append(cert.IPAddresses, ip)
	}
	return cert, nil
}

func newKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(file, "EC PRIVATE KEY", der, 0o600)
}

// writePEM replaces the file in one step: a crash leaves the old or the new.
func writePEM(file, kind string, der []byte, mode os.FileMode) error {
	body := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(file+".new", body, mode); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func readBlock(file string) ([]byte, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(body)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	return block.Bytes, nil
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	der, err := readBlock(file)
	if err != nil {
		return nil, err
	}
	return x509.ParseECPrivateKey(der)
}

func readCertificate(file string) (*x509.Certificate, error) {
	der, err := readBlock(file)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
