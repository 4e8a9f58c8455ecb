/** What peers tell each other, in realistic sizes: data nobody reads, but nodes carry. */

const ATTRIBUTE = "a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";

/** Audio and video of a browser are 3 to 6 KB. */
const SDP = `v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n${ATTRIBUTE.repeat(40)}`;

/** @param {"offer" | "answer"} type */
export function description(type) {
  return { description: { type, sdp: SDP } };
}

/** @param {number} index */
export function candidate(index) {
  const line = `candidate:${1000 + index} 1 udp 2113937151 192.0.2.${index % 250} ${50000 + index} typ host generation 0 ufrag k3J9 network-cost 999`;
  return { candidate: { candidate: line, sdpMid: "0", sdpMLineIndex: 0 } };
}
