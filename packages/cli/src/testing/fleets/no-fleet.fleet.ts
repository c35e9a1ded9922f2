export default { name: "not made with defineFleet" };
