/* Published test vectors; each names its source. */
#ifndef COFFER_TESTS_UNIT_VECTORS_CRYPTO_H
#define COFFER_TESTS_UNIT_VECTORS_CRYPTO_H

#include "util/base/crypto.h"

static const struct aead_vector {
	const char *source;
	enum cipher cipher;
	const char *key, *nonce, *ad, *plain, *sealed, *tag;
} aead_vectors[] = {
	{"McGrew, Viega: The Galois/Counter Mode of Operation (NIST submission), "
	 "appendix B, test case 13",
	 CIPHER_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
	 "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{"the same, test case 14", CIPHER_AES_256_GCM,
	 "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
	 "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
	{"the same, test case 16", CIPHER_AES_256_GCM,
	 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
	 "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	 "76fc6ece0f4e1768cddf8853bb2d551b"},
	{"RFC 8439, section 2.8.2", CIPHER_CHACHA20_POLY1305,
	 "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "070000004041424344454647",
	 "50515253c0c1c2c3c4c5c6c7",
	 "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	 "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	 "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	 "637265656e20776f756c642062652069742e",
	 "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	 "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	 "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	 "3ff4def08e4b7a9de576d26586cec64b6116",
	 "1ae10b594f09e26a7e902ecbd0600691"},
};

static const struct siv_vector {
	const char *source;
	const char *key, *ad, *nonce, *plain, *sealed; /* nonce NULL: none; sealed begins with the synthetic IV */
} siv_vectors[] = {
	{"OpenSSL, test/recipes/30-test_evp_data/evpciph_aes_siv.txt, aes-256-siv "
	 "(RFC 5297 A.1 with longer keys)",
	 "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
	 "f0f1f2f3f4f5f6f7f8f9fafbfcfdfefffffefdfcfbfaf9f8f7f6f5f4f3f2f1f0",
	 "101112131415161718191a1b1c1d1e1f2021222324252627", NULL, "112233445566778899aabbccddee",
	 "724dfb2eaf94dbb19b0ba3a299a0801ef3b05a55498ec2552690b89810e4"},
	{"Wycheproof, testvectors_v1/aes_siv_cmac_test.json, tcId 296",
	 "bc7635c1fd566aa8357fd103714bfaee1c9e5b3c578b3980401a981030254a54"
	 "b1756a8c96e600b7252fd0aab12f39d115d256b3f3e7c2c41a7fece72ba7c3c4",
	 "", NULL, "", "44b1c6fe8a8c07dee5377b161f283c31"},
	{"Wycheproof, testvectors_v1/aead_aes_siv_cmac_test.json, tcId 734",
	 "857c8d99022c3aac1027259fb8c944191edda554d10e036fd360582f7957063b"
	 "6cea9ec52ed95e7d5cf55727b73b067c863a08f52d96ffd84e8607efd658f107",
	 "13", "ed5c84979b70378cf77133d19119c24e", "dcff31ed1d09a4c19f2797fd",
	 "a7b1698865c707dd654d521a0c50586f358bda856790e277c5253cdd"},
};

static const struct sha256_vector {
	const char *source, *text, *hash;
} sha256_vectors[] = {
	{"NIST, FIPS 180 example SHA-256, one block", "abc",
	 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{"NIST, FIPS 180 example SHA-256, two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	{"NIST, SHA256ShortMsg, Len = 0", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
};

#define AA20  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define AA131 AA20 AA20 AA20 AA20 AA20 AA20 "aaaaaaaaaaaaaaaaaaaaaa"
#define DD50                                                                                                           \
	"dddddddddddddddddddddddddddddddddddddddddddddddddddd"                                                         \
	"dddddddddddddddddddddddddddddddddddddddddddddddd"
#define CD50                                                                                                           \
	"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"                                                         \
	"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"

static const struct hmac_vector {
	const char *source, *key, *data, *mac;
} hmac_vectors[] = {
	{"RFC 4231, 4.2", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
	 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	{"RFC 4231, 4.3", "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
	 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	{"RFC 4231, 4.4", AA20, DD50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	{"RFC 4231, 4.5", "0102030405060708090a0b0c0d0e0f10111213141516171819", CD50,
	 "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	{"RFC 4231, 4.7", AA131,
	 "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a"
	 "65204b6579202d2048617368204b6579204669727374",
	 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	{"RFC 4231, 4.8", AA131,
	 "5468697320697320612074657374207573696e672061206c6172676572207468"
	 "616e20626c6f636b2d73697a65206b657920616e642061206c61726765722074"
	 "68616e20626c6f636b2d73697a6520646174612e20546865206b6579206e6565"
	 "647320746f20626520686173686564206265666f7265206265696e6720757365"
	 "642062792074686520484d414320616c676f726974686d2e",
	 "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

static const struct hkdf_vector {
	const char *source, *ikm, *salt, *info, *prk, *okm;
} hkdf_vectors[] = {
	{"RFC 5869, A.1", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
	 "f0f1f2f3f4f5f6f7f8f9", "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
	 "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d"
	 "5b887185865"},
	{"RFC 5869, A.2",
	 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	 "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	 "404142434445464748494a4b4c4d4e4f",
	 "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
	 "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
	 "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
	 "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
	 "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
	 "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
	 "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
	 "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
	 "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
	 "cc30c58179ec3e87c14c01d5c1f3434f1d87"},
	{"RFC 5869, A.3", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
	 "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
	 "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395f"
	 "aa4b61a96c8"},
};

static const struct argon2_vector {
	const char *source, *passphrase, *salt;
	struct argon2_cost cost;
	const char *out;
} argon2_vectors[] = {
	{"OpenSSL, test/recipes/30-test_evp_data/evpkdf_argon2.txt: RFC 9106, 5.3 "
	 "without secret and associated data",
	 "0101010101010101010101010101010101010101010101010101010101010101",
	 "02020202020202020202020202020202",
	 {.t = 3, .m_kib = 32, .p = 4},
	 "03aab965c12001c9d7d0d2de33192c0494b684bb148196d73c1df1acaf6d0c2e"},
	{"the reference implementation, phc-winner-argon2 20171227: argon2 "
	 "somesaltsomesalt -id -t 2 -k 64 -p 1 -l 32 -r",
	 "70617373776f7264",
	 "736f6d6573616c74736f6d6573616c74",
	 {.t = 2, .m_kib = 64, .p = 1},
	 "1a98fba8e6394425c9bdc333a9c750aaf811df070f5fb4a5788e1cf4db5793a1"},
};

#endif
