import { settle } from "./clock.js";

/** The signalling states of an RTCPeerConnection and nothing else: enough to test the order of offers. */
export class FakePeerConnection extends EventTarget {
  signalingState = "stable";
  connectionState = "new";
  localDescription = null;
  remoteDescription = null;
  channel = { readyState: "connecting" };
  restarts = 0;
  candidates = [];
  #offers = 0;

  constructor(configuration) {
    super();
    this.configuration = configuration;
    FakePeerConnection.made.push(this);
  }

  static made = [];

  createDataChannel() {
    queueMicrotask(() => this.onnegotiationneeded?.());
    return this.channel;
  }

  async setLocalDescription() {
    await settle();
    const type = this.signalingState === "have-remote-offer" ? "answer" : "offer";
    this.localDescription = { type, sdp: `${type} ${(this.#offers += 1)}` };
    this.signalingState = type === "offer" ? "have-local-offer" : "stable";
  }

  async setRemoteDescription(description) {
    await settle();
    if (description.type === "answer" && this.signalingState !== "have-local-offer") throw new Error("no offer");
    this.remoteDescription = description;
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
  }

  async addIceCandidate(candidate) {
    this.candidates.push(candidate);
  }

  restartIce() {
    this.restarts += 1;
    queueMicrotask(() => this.onnegotiationneeded?.());
  }

  getConfiguration = () => this.configuration;
  setConfiguration = (configuration) => void (this.configuration = configuration);
  getSenders = () => [];
  getTransceivers = () => [];
  getStats = async () => new Map();

  /** Changes the state as the network would. */
  becomes(state) {
    this.connectionState = state;
    this.channel.readyState = state === "connected" ? "open" : this.channel.readyState;
    this.onconnectionstatechange?.();
  }

  close() {
    this.signalingState = this.connectionState = "closed";
  }
}
