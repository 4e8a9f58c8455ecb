import { useState } from "react";
import { useRoom } from "./useRoom.js";

export function App() {
  const [name, setName] = useState(null);
  const enter = (event) => {
    event.preventDefault();
    setName(new FormData(event.target).get("name"));
  };
  if (name) return <Call name={name} onLeave={() => setName(null)} />;
  return (
    <form onSubmit={enter}>
      <label>Your name <input name="name" required maxLength={40} /></label>
      <button>Join</button>
    </form>
  );
}

function Call({ name, onLeave }) {
  const { status, stream, people } = useRoom("demo", name);
  return (
    <>
      <p role="status">{status}</p>
      <button id="leave" onClick={onLeave}>Leave</button>
      {stream && <Person name={`${name} (you)`} stream={stream} muted />}
      {people.map((person) => <Person key={person.id} {...person} />)}
    </>
  );
}

function Person({ id, name, stream, muted = false }) {
  const show = (video) => {
    if (video && video.srcObject !== stream) video.srcObject = stream;
  };
  return (
    <figure id={id}>
      <video ref={show} autoPlay playsInline muted={muted} width="240" />
      <figcaption>{name}</figcaption>
    </figure>
  );
}
